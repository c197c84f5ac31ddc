import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPayload } from '../../guest-image/payload.ts';
import { Bridge } from '../../qemu/network.ts';
import { pinVirtualCpus } from '../../qemu/pin.ts';
import { productFiles } from '../../qemu/product.ts';
import { launchVm, type Vm } from '../../qemu/vm.ts';
import { createServer, type IvshmemServer } from '../../src/host/index.ts';

/** One device of each VM for each, so that all of them run side by side: a device has one program. */
export const regions = ['sockets', 'http', 'tun', 'channels', 'study'] as const;
export type RegionName = (typeof regions)[number];

const REGION_BYTES = 64 << 20;
const MEMORY_MIB = 1024;
/** On a busy machine an emulated boot takes minutes. */
const BOOT_MS = 300_000;

/** Addresses of the second VM: over virtio-net, and over the TUN interface. */
export interface Addresses {
  readonly wire: string;
  readonly tun: string;
}

/** A server with a region for each use, a bridge, and two VMs with a device of each region and virtio-net. */
export class Guests {
  readonly commands: string[] = [];
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'bench-sockets-vm-'));
  readonly #vms: Vm[] = [];
  readonly #devices = new Map<RegionName, string>();
  #server: IvshmemServer | undefined;
  #bridge: Bridge | undefined;
  #wire = '';

  private constructor() {}

  /**
   * `programs`: with the disk of other people's programs.
   * @throws Error without root, or when a VM does not start; nothing is left then.
   */
  static async start(cpus: readonly number[], say: (line: string) => void, programs = true): Promise<Guests> {
    const guests = new Guests();
    try {
      await guests.#start(cpus, say, programs);
      return guests;
    } catch (error) {
      await guests.close();
      throw error;
    }
  }

  /** The VM that measures, and the one that answers. */
  get measuring(): Vm {
    return this.#vms[0]!;
  }

  get answering(): Vm {
    return this.#vms[1]!;
  }

  get addresses(): Addresses {
    return { wire: this.#wire, tun: '10.78.0.2' };
  }

  get pids(): number[] {
    return this.#vms.filter((vm) => vm.running).map((vm) => vm.pid);
  }

  /** PCI address of the device of a region, the same in both VMs. */
  device(region: RegionName): string {
    return this.#devices.get(region)!;
  }

  async close(): Promise<void> {
    await Promise.all(this.#vms.map((vm) => vm.kill()));
    await this.#bridge?.close();
    await this.#server?.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #start(cpus: readonly number[], say: (line: string) => void, programs: boolean): Promise<void> {
    const socketOf = (name: string): string => path.join(this.#folder, `${name}.sock`);
    this.#server = await createServer({
      regions: regions.map((name) => ({ name, socket: socketOf(name), size: REGION_BYTES })),
    });
    this.#bridge = await Bridge.create();
    const program = (name: string): string =>
      fileURLToPath(new URL(`../sockets/programs/${name}.ts`, import.meta.url));
    const payload = await buildPayload(
      await productFiles({
        end: program('sockets-end'),
        http: program('http-end'),
        redis: program('redis-end'),
        transparent: fileURLToPath(new URL('../../src/transparent/index.ts', import.meta.url)),
      }),
    );
    const ivshmem = regions.map((name) => ({ kind: 'doorbell', server: socketOf(name) }) as const);
    const log = (line: string) =>
      void (line.includes(' -nodefaults ') ? this.commands.push(line) : say(line));
    for (const name of ['a', 'b']) {
      const network = await this.#bridge.attach();
      this.#wire = network.address.replace(/\/.*/, '');
      this.#vms.push(await launchVm({ name, payload, log, ivshmem, network, memory: MEMORY_MIB, programs }));
    }
    say('booting two VMs');
    await Promise.all(
      this.#vms.map(async (vm) => {
        await vm.ready(BOOT_MS);
        await vm.check('ivshmem bind --all --user app', { timeout: BOOT_MS });
      }),
    );
    const list = 'cd /sys/bus/pci/devices && grep -l 0x1110 */device';
    const found = (await this.measuring.check(list)).trim().split('\n').sort();
    for (const [index, name] of regions.entries()) this.#devices.set(name, found[index]!.replace(/\/.*/, ''));
    // Left alone, the scheduler puts both busy virtual CPUs on one processor now and then, for milliseconds.
    for (const [index, vm] of this.#vms.entries()) await pinVirtualCpus(vm, cpus[index]!);
  }
}
