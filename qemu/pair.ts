import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPayload } from '../guest-image/payload.ts';
import { createServer, type IvshmemServer } from '../src/host/index.ts';
import type { GuestProcess } from './guest-process.ts';
import { Bridge } from './network.ts';
import { guestProgram, productFiles } from './product.ts';
import { launchVm, type Vm } from './vm.ts';

export interface PairOptions {
  /** Name of the region. */
  readonly region: string;
  readonly regionBytes: number;
  /** Program that both guests get, a TypeScript entry point; `start` runs it. */
  readonly program: string;
  /** Told what is being done. */
  readonly say: (text: string) => void;
  /** Told the full QEMU commands, and when an image has to be built. */
  readonly log: (line: string) => void;
}

/**
 * Two VMs, a and b, of one region, on one bridge. `close()` leaves nothing of them, whatever state they are in.
 * Nothing is up yet: `start` waits for what it needs.
 */
export class Pair {
  readonly a: Vm;
  readonly b: Vm;
  readonly addressOfB: string;
  readonly #bound = new Map<Vm, Promise<string>>();
  readonly #close: () => Promise<void>;

  constructor(a: Vm, b: Vm, addressOfB: string, close: () => Promise<void>) {
    this.a = a;
    this.b = b;
    this.addressOfB = addressOfB;
    this.#close = close;
    for (const vm of [a, b]) {
      const bound = vm.ready().then(() => vm.check('ivshmem bind --user app', { timeout: 120_000 }));
      // Whoever starts a program hears of it; nobody does when the other VM failed first.
      bound.catch(() => {});
      this.#bound.set(vm, bound);
    }
  }

  /** Starts the program in a VM as the unprivileged user, as soon as that VM has its device. */
  async start(vm: Vm, ...words: readonly string[]): Promise<GuestProcess> {
    await this.#bound.get(vm);
    return vm.spawn(guestProgram('program', ...words), { user: 'app' });
  }

  close(): Promise<void> {
    return this.#close();
  }
}

/**
 * Starts a server with one region, a bridge, and two VMs, in which `ivshmem bind` gives the device to the user app.
 * @throws Error without root, or when a VM does not start; nothing is left then.
 */
export async function launchPair(options: PairOptions): Promise<Pair> {
  const { region, regionBytes, program, say, log } = options;
  const directory = mkdtempSync(join(tmpdir(), `ivshmem-${region}-`));
  const socket = join(directory, 'region.sock');
  const vms: Vm[] = [];
  let server: IvshmemServer | undefined;
  let bridge: Bridge | undefined;
  const close = async (): Promise<void> => {
    await Promise.all(vms.map((vm) => vm.kill()));
    await bridge?.close();
    await server?.close();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    server = await createServer({ regions: [{ name: region, socket, size: regionBytes }] });
    bridge = await Bridge.create();
    say(`ivshmem server: region "${region}", ${regionBytes >> 20} MiB, on ${socket}`);
    const payload = await buildPayload(await productFiles({ program }));
    let address = '';
    for (const name of ['a', 'b']) {
      const network = await bridge.attach();
      address = network.address.replace(/\/.*/, '');
      const ivshmem = [{ kind: 'doorbell', server: socket }] as const;
      vms.push(await launchVm({ name, payload, log, ivshmem, network }));
    }
    return new Pair(vms[0]!, vms[1]!, address, close);
  } catch (error) {
    await close();
    throw error;
  }
}
