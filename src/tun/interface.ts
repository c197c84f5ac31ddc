import { execFile } from 'node:child_process';
import { closeSync } from 'node:fs';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import { IvshmemError } from '../errors/index.ts';
import { binding } from '../native/binding.ts';

const execute = promisify(execFile);
const COMMAND_MS = 10_000;

/** Descriptors: packets of the kernel come from `in`, those for it go to `out`, which may be the same. */
export interface TunQueue {
  readonly in: number;
  readonly out: number;
}

/**
 * A TUN device and what the kernel knows of it. Everything goes with the descriptors, also when the process is killed: the
 * interface, and with it its addresses and routes.
 */
export class TunInterface {
  readonly name: string;
  readonly queues: readonly TunQueue[];
  /** Whether this kernel takes UDP in large packets. */
  readonly udpSegmentation: boolean;
  /** One `ip` at a time, in the order asked for. */
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** ERR_IVSHMEM_TUN_OPEN. `name` may have '%d' for the next free number. */
  constructor(name: string, queues: number) {
    try {
      ({
        name: this.name,
        queues: this.queues,
        udpSegmentation: this.udpSegmentation,
      } = binding.openTun(name, queues));
    } catch (cause) {
      throw new IvshmemError('ERR_IVSHMEM_TUN_OPEN', { name, why: (cause as Error).message }, { cause });
    }
  }

  /** Gives it the addresses, each for itself, and sets it up. */
  async configure(addresses: readonly string[], mtu: number): Promise<void> {
    await this.#ip(['link', 'set', 'dev', this.name, 'mtu', String(mtu), 'up']);
    for (const address of addresses) {
      const duplicates = isIP(address) === 6 ? ['nodad'] : [];
      await this.#ip(['address', 'add', host(address), 'dev', this.name, ...duplicates]);
    }
  }

  /** Whether this kernel gives UDP in large packets, which not every peer can take. Ignored where it never does. */
  giveLargeUdp(on: boolean): void {
    if (this.udpSegmentation && !this.#closed) binding.setTunUdpSegmentation(this.queues[0]!.in, on);
  }

  async addRoute(destination: string, source: string): Promise<void> {
    await this.#ip(['route', 'replace', host(destination), 'dev', this.name, 'src', source]);
  }

  async removeRoute(destination: string): Promise<void> {
    await this.#ip(['route', 'delete', host(destination), 'dev', this.name]);
  }

  /** Takes the interface away, addresses and routes with it. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const fd of new Set(this.queues.flatMap((queue) => [queue.in, queue.out]))) closeSync(fd);
  }

  #ip(words: readonly string[]): Promise<void> {
    const turn = this.#turn.then(async () => {
      if (this.#closed) return;
      try {
        await execute('ip', words, { timeout: COMMAND_MS });
      } catch (cause) {
        if (this.#closed) return;
        const { stderr = '', message } = cause as Error & { stderr?: string };
        const parameters = { name: this.name, command: words.join(' '), why: stderr.trim() || message };
        throw new IvshmemError('ERR_IVSHMEM_TUN_COMMAND', parameters, { cause });
      }
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

/** A route or address of exactly one host. */
function host(address: string): string {
  return `${address}/${isIP(address) === 4 ? 32 : 128}`;
}
