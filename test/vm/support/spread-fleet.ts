import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { buildPayload } from '../../../guest-image/payload.ts';
import { Bridge } from '../../../qemu/network.ts';
import { productFiles } from '../../../qemu/product.ts';
import { isAlive } from '../../../qemu/run-directory.ts';
import { launchVm, type Vm } from '../../../qemu/vm.ts';
import { Authority } from '../../host/hosts/support/certificates.ts';
import { Etcd } from '../../host/hosts/support/etcd.ts';
import { HostServer } from './host-server.ts';
import { SpreadEnd, spreadEntry } from './spread-end.ts';

export type Driver = 'vfio-pci' | 'uio_pci_generic';

interface Options {
  /** Of each host's region, such as '16M'. */
  readonly size: string;
  /** Seconds. */
  readonly lease: number;
}

/** One of the hosts: a network namespace, its server, its VMs. */
export interface SpreadHost {
  readonly name: string;
  readonly bridge: Bridge;
  readonly socket: string;
  readonly address: string;
  server: HostServer;
  readonly vms: Vm[];
}

/**
 * Hosts a, b, ... on one network whose servers know each other by etcd, which is on a machine of its own there. Nodes have numbers in the order of
 * names. All of it goes with the test.
 */
export class SpreadFleet {
  readonly hosts: SpreadHost[] = [];
  readonly etcd: Etcd;
  readonly #t: Test;
  readonly #directory: string;
  readonly #options: Options;
  readonly #authority: Authority;
  readonly #payload: Promise<string>;

  private constructor(t: Test, directory: string, etcd: Etcd, options: Options) {
    this.#t = t;
    this.#directory = directory;
    this.etcd = etcd;
    this.#options = options;
    this.#authority = new Authority(directory);
    this.#payload = productFiles({ spread: spreadEntry }).then(buildPayload);
  }

  static async create(t: Test, names: readonly string[], options: Options): Promise<SpreadFleet> {
    const directory = mkdtempSync(join(tmpdir(), 'ivshmem-spread-'));
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const bridge = async (number: number): Promise<[Bridge, string]> => {
      const address = `10.77.0.${250 - number}`;
      const made = await Bridge.create(`${address}/24`);
      t.teardown(() => made.close());
      return [made, address];
    };
    let [last, address] = await bridge(0);
    const etcd = await Etcd.openIn(last.namespace, address, join(directory, 'etcd'));
    t.teardown(() => etcd.kill());
    const fleet = new SpreadFleet(t, directory, etcd, options);
    for (const [i, name] of names.entries()) {
      const [next, at] = await bridge(i + 1);
      await last.join(next);
      [last, address] = [next, at];
      await fleet.#host(name, next, at);
    }
    return fleet;
  }

  async #host(name: string, bridge: Bridge, address: string): Promise<void> {
    const socket = join(this.#directory, `${name}.sock`);
    this.#authority.issue(name);
    const host = { name, bridge, socket, address, vms: [] };
    this.hosts.push({ ...host, server: await this.#serve(host) });
  }

  async #serve(host: Omit<SpreadHost, 'server'>): Promise<HostServer> {
    const { name, bridge, address, socket } = host;
    const at = (file: string): string => join(this.#directory, file);
    const issued = {
      certificate: at(`${name}.pem`),
      key: at(`${name}.key`),
      authority: this.#authority.path,
    };
    const file = at(`${name}.toml`);
    const { url: etcd } = this.etcd;
    const options = { name, bridge, address, socket, issued, etcd, file, ...this.#options };
    const server = await HostServer.start(options);
    this.#t.teardown(() => server.kill('SIGTERM'));
    return server;
  }

  /** A server where one was killed. */
  async serveAgain(host: SpreadHost): Promise<void> {
    host.server = await this.#serve(host);
  }

  /** Boots a VM with the region's device, and starts the member in it. */
  async vm(host: SpreadHost, name: string, driver: Driver): Promise<SpreadEnd> {
    const ivshmem = [{ kind: 'doorbell', server: host.socket }] as const;
    const vm = await launchVm({ name, payload: await this.#payload, ivshmem });
    host.vms.push(vm);
    this.#t.teardown(() => vm.kill());
    await vm.ready();
    await vm.check(`ivshmem bind --driver ${driver} --user app`);
    return SpreadEnd.inVm(vm, name);
  }

  /** A member that is a process of the host. */
  async member(host: SpreadHost, name: string): Promise<SpreadEnd & { readonly child?: ChildProcess }> {
    const { end, child } = await SpreadEnd.onHost(host.socket, name);
    this.#t.teardown(async () => {
      child.kill('SIGKILL');
      await end.ended;
    });
    return end;
  }

  /** As when its power fails: everything of it at once. */
  async kill(host: SpreadHost): Promise<void> {
    await Promise.all([host.server.kill(), ...host.vms.map((vm) => vm.kill())]);
  }

  /** Powers off the VMs that are left; process IDs of QEMUs that are still there: none. */
  async finish(): Promise<number[]> {
    const vms = this.hosts.flatMap((host) => host.vms);
    await Promise.all(vms.filter((vm) => vm.running).map((vm) => vm.powerOff()));
    return vms.map((vm) => vm.pid).filter(isAlive);
  }
}
