import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { buildPayload } from '../../../guest-image/payload.ts';
import { Bridge } from '../../../qemu/network.ts';
import { productFiles } from '../../../qemu/product.ts';
import { type LaunchOptions, launchVm, type Vm } from '../../../qemu/vm.ts';
import { createServer } from '../../../src/host/index.ts';

/** One of two hosts: a network namespace, and an ivshmem server. */
export interface Host {
  readonly bridge: Bridge;
  /** The server's socket. */
  readonly socket: string;
  readonly address: string;
}

/** A VM that can migrate, and where `ivshmem migrate` reaches it. */
export interface Mobile {
  readonly vm: Vm;
  readonly qmp: string;
}

/** One for a program's sockets, one for an IP interface: a device belongs to one process. */
export const DEVICES = ['shm0', 'shm1'] as const;

type Tap = Awaited<ReturnType<Bridge['attach']>>;

/** Two hosts on one network; all of it goes with the test. */
export class TwoHosts {
  readonly hosts: readonly Host[];
  readonly directory: string;
  readonly #t: Test;
  readonly #payload: string;
  #qmps = 0;

  private constructor(t: Test, directory: string, hosts: readonly Host[], payload: string) {
    this.#t = t;
    this.directory = directory;
    this.hosts = hosts;
    this.#payload = payload;
  }

  static async create(t: Test, programs: Readonly<Record<string, string>>): Promise<TwoHosts> {
    const directory = mkdtempSync(join(tmpdir(), 'ivshmem-hosts-'));
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const hosts: Host[] = [];
    for (const number of [1, 2]) {
      const address = `10.77.0.25${number}`;
      const bridge = await Bridge.create(`${address}/24`);
      t.teardown(() => bridge.close());
      const socket = join(directory, `host${number}.sock`);
      const server = await createServer({ regions: [{ name: `host${number}`, socket, size: 32 << 20 }] });
      t.teardown(() => server.close());
      hosts.push({ bridge, socket, address });
    }
    await hosts[0]!.bridge.join(hosts[1]!.bridge);
    return new TwoHosts(t, directory, hosts, await buildPayload(await productFiles(programs)));
  }

  /** Starts a VM; its guest is up when `ready()` resolves, or never if it waits for a migration. */
  async launch(name: string, options: Partial<LaunchOptions>): Promise<Vm> {
    const vm = await launchVm({ name, payload: this.#payload, ...options });
    this.#t.teardown(() => vm.kill());
    return vm;
  }

  /**
   * A VM with ports for ivshmem devices `shm0` and `shm1`: with both, of `server`, or, waiting for a migration, without. A QEMU
   * that a guest goes to has the arguments of the one that it comes from.
   */
  async mobile(name: string, network: Tap, server: string | null): Promise<Mobile> {
    const number = this.#qmps++;
    const qmp = join(this.directory, `qmp${number}`);
    const plugged = DEVICES.flatMap((id, i) => [
      ...['-chardev', `socket,id=c${i},path=${server}`],
      ...['-device', `ivshmem-doorbell,id=${id},chardev=c${i},vectors=2,bus=port${i}`],
    ]);
    const vm = await this.launch(name, {
      network,
      ports: DEVICES.length,
      arguments: [...(server === null ? [] : plugged), '-qmp', `unix:${qmp},server=on,wait=off`],
      ...(server === null ? { incoming: `unix:${join(this.directory, `incoming${number}`)}` } : {}),
    });
    return { vm, qmp };
  }
}
