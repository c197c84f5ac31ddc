import { command } from '../guest-image/command.ts';
import type { Network } from './options.ts';
import { isAlive } from './run-directory.ts';

const prefix = 'ivshmem-net-';
let made = 0;

type Tap = Extract<Network, { kind: 'tap' }>;

/**
 * An Ethernet bridge in a network namespace of its own, to which VMs are attached by tap devices. Addresses are
 * 10.77.0.N/24; the bridge itself is 10.77.0.254 unless said otherwise, for programs of the host run inside the namespace.
 * Nothing of it shows in the machine's own namespace, and there is no route out.
 */
export class Bridge {
  readonly namespace: string;
  #ports = 0;

  private constructor(namespace: string) {
    this.namespace = namespace;
  }

  /** @throws Error without root. */
  static async create(address = '10.77.0.254/24'): Promise<Bridge> {
    await sweep();
    const bridge = new Bridge(`${prefix}${process.pid}-${made++}`);
    await command('ip', ['netns', 'add', bridge.namespace]);
    try {
      await bridge.#ip('link', 'set', 'lo', 'up');
      await bridge.#ip('link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0');
      await bridge.#ip('address', 'add', address, 'dev', 'br0');
      await bridge.#ip('link', 'set', 'br0', 'up');
    } catch (error) {
      await bridge.close();
      throw error;
    }
    return bridge;
  }

  /** Lays a cable to another bridge: one network on two hosts. It goes with either of them. */
  async join(other: Bridge): Promise<void> {
    const [here, there] = ['to-other', 'to-first'];
    await this.#ip('link', 'add', here, 'type', 'veth', 'peer', 'name', there, 'netns', other.namespace);
    await this.#ip('link', 'set', here, 'master', 'br0', 'up');
    await other.#ip('link', 'set', there, 'master', 'br0', 'up');
  }

  /**
   * A new tap device on the bridge, to be given to one VM as its `network`. `guest`: for a VM that has its addresses already, on
   * another host.
   */
  async attach(guest?: Tap): Promise<Tap> {
    const number = ++this.#ports;
    const tap = `tap${number}`;
    await this.#ip('tuntap', 'add', 'dev', tap, 'mode', 'tap', 'vnet_hdr');
    await this.#ip('link', 'set', tap, 'master', 'br0', 'up');
    return {
      kind: 'tap',
      tap,
      namespace: this.namespace,
      mac: guest?.mac ?? macAddress(number),
      address: guest?.address ?? `10.77.0.${number}/24`,
    };
  }

  /** Removes the namespace and all in it. The VMs should be gone: one that lives keeps the devices alive, unreachable. */
  async close(): Promise<void> {
    await command('ip', ['netns', 'delete', this.namespace]);
  }

  #ip(...args: string[]): Promise<string> {
    return command('ip', ['-netns', this.namespace, ...args]);
  }
}

/** Both ends of a cable between two VMs, with sockets in `directory`. */
export function cable(directory: string): [Network, Network] {
  const end = (number: number, peer: number): Network => ({
    kind: 'pair',
    local: `${directory}/cable${number}.sock`,
    remote: `${directory}/cable${peer}.sock`,
    mac: macAddress(number),
    address: `10.77.0.${number}/24`,
  });
  return [end(1, 2), end(2, 1)];
}

function macAddress(number: number): string {
  return `52:54:00:69:76:${number.toString(16).padStart(2, '0')}`;
}

// Namespaces of programs that were killed before they could remove them.
async function sweep(): Promise<void> {
  const listed = await command('ip', ['netns', 'list']);
  for (const line of listed.split('\n')) {
    const match = new RegExp(`^(${prefix}(\\d+)-\\d+)`).exec(line);
    if (match && !isAlive(Number(match[2]))) await command('ip', ['netns', 'delete', match[1]!]);
  }
}
