import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { buildPayload, bundle } from '../../../guest-image/payload.ts';
import { guestProgram, productFiles } from '../../../qemu/product.ts';
import { isAlive } from '../../../qemu/run-directory.ts';
import { type LaunchOptions, launchVm, type Vm } from '../../../qemu/vm.ts';
import { createServer, type IvshmemServer, type ServerConfigInput } from '../../../src/host/index.ts';

const memberEntry = fileURLToPath(new URL('../guest/member.ts', import.meta.url));

/** VMs that boot at the same time: more are slower, and their time limits closer. */
const BOOTS_AT_ONCE = 2;

/** What a region's configuration may have. */
type RegionOptions = Partial<ServerConfigInput['regions'][number]>;

/** A server with one region, and VMs that have its device; all of it goes with the test. */
export class Fleet {
  readonly socket: string;
  readonly directory: string;
  readonly #vms: Vm[] = [];
  readonly #t: Test;
  readonly #payload: Promise<string>;
  server!: IvshmemServer;

  private constructor(t: Test, programs: Readonly<Record<string, string>>) {
    this.#t = t;
    this.directory = mkdtempSync(join(tmpdir(), 'ivshmem-fleet-'));
    this.socket = join(this.directory, 'region.sock');
    this.#payload = payloadOf(programs);
  }

  static async create(
    t: Test,
    sizeBytes = 64 << 20,
    programs: Readonly<Record<string, string>> = {},
    region: RegionOptions = {},
  ): Promise<Fleet> {
    const fleet = Fleet.withoutServer(t, programs);
    await fleet.startServer(sizeBytes, region);
    t.teardown(() => fleet.server.close());
    return fleet;
  }

  /** For a test that has a server of its own at `socket`. */
  static withoutServer(t: Test, programs: Readonly<Record<string, string>> = {}): Fleet {
    const fleet = new Fleet(t, programs);
    t.teardown(() => {
      rmSync(fleet.directory, { recursive: true, force: true });
    });
    return fleet;
  }

  /** `region`: what its configuration has besides name, socket and size. */
  async startServer(size: number, region: RegionOptions = {}): Promise<void> {
    this.server = await createServer({ regions: [{ name: 'fleet', socket: this.socket, size, ...region }] });
  }

  /** Boots a VM with the region's device, and waits until it takes commands. */
  async boot(name: string, options: Partial<LaunchOptions> = {}): Promise<Vm> {
    const vm = await launchVm({
      name,
      payload: await this.#payload,
      ivshmem: [{ kind: 'doorbell', server: this.socket }],
      ...options,
    });
    this.#vms.push(vm);
    this.#t.teardown(() => vm.kill());
    await vm.ready();
    return vm;
  }

  /** Runs boots, a few at a time. */
  static async together<T>(...boots: (() => Promise<T>)[]): Promise<T[]> {
    const booted: T[] = [];
    const left = boots.entries();
    const next = async (): Promise<void> => {
      for (const [i, boot] of left) booted[i] = await boot();
    };
    await Promise.all(Array.from({ length: BOOTS_AT_ONCE }, next));
    return booted;
  }

  /** Powers off the VMs that are left and returns the process IDs of QEMUs that are still there: none. */
  async finish(): Promise<number[]> {
    await Promise.all(this.#vms.filter((vm) => vm.running).map((vm) => vm.powerOff()));
    return this.#vms.map((vm) => vm.pid).filter(isAlive);
  }

  /** Boots a VM and binds its device for the unprivileged user `app`. */
  async bootBound(
    name: string,
    driver: 'vfio-pci' | 'uio_pci_generic' = 'vfio-pci',
    options: Partial<LaunchOptions> = {},
  ): Promise<Vm> {
    const vm = await this.boot(name, options);
    await vm.check(`ivshmem bind --driver ${driver} --user app`);
    return vm;
  }

  /** A host process that is a member; its JSON lines arrive in `lines`. */
  hostMember(words: readonly string[], socket = this.socket): HostMember {
    const member = new HostMember(socket, words);
    this.#t.teardown(() => member.kill());
    return member;
  }
}

/** The test member is one file, not parts shared with others: loading those is half of what it takes to start. */
async function payloadOf(programs: Readonly<Record<string, string>>): Promise<string> {
  const [product, content] = await Promise.all([productFiles(programs), bundle(memberEntry)]);
  const [, path] = member();
  return buildPayload({ ...product, [relative('/payload', path!)]: { content } });
}

/** The words that run the test member in a guest. */
export const member = (...words: readonly (string | number)[]): string[] =>
  guestProgram('member', ...words.map(String));

/** The last JSON line of a guest program's output. */
export function lastJson<T = Record<string, unknown>>(stdout: string): T {
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as T;
}

export class HostMember {
  readonly child: ChildProcess;
  readonly lines: Record<string, unknown>[] = [];
  readonly ended: Promise<number | null>;
  readonly #watchers = new Set<() => void>();

  constructor(socket: string, words: readonly string[]) {
    this.child = spawn(process.execPath, ['--import', 'tsx', memberEntry, ...words], {
      env: { ...process.env, IVSHMEM_SOCKET: socket, NODE_OPTIONS: '' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    // It may end before it has read all it was told.
    this.child.stdin!.on('error', () => {});
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      this.lines.push(JSON.parse(line) as Record<string, unknown>);
      for (const watcher of this.#watchers) watcher();
    });
    this.ended = new Promise((resolve) => this.child.on('close', resolve));
  }

  /** Resolves with the first line that passes; rejects after `timeout` milliseconds. */
  line(
    passes: (line: Record<string, unknown>) => boolean,
    timeout = 180_000,
  ): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no such line within ${timeout} ms: ${JSON.stringify(this.lines)}`)),
        timeout,
      );
      const look = (): void => {
        const found = this.lines.find(passes);
        if (!found) return;
        clearTimeout(timer);
        this.#watchers.delete(look);
        resolve(found);
      };
      this.#watchers.add(look);
      look();
    });
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}
