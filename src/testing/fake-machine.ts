import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { configBytes } from './fake-config.ts';

export interface FakeFunction {
  readonly vendorId?: number;
  readonly deviceId?: number;
  readonly revision?: number;
  /** MSI-X vectors; 0 leaves the capability out. */
  readonly vectors?: number;
  /** Size of BAR2. */
  readonly memoryBytes?: number;
  readonly iommuGroup?: number;
  /** Bound at start. */
  readonly driver?: string;
  readonly driverOverride?: string;
  /** The driver whose id table lists this function: a probe without override gives it the function. */
  readonly native?: string;
}

export interface FakeMachine {
  /** By PCI address. The defaults make an ivshmem-doorbell device of 1 MiB with 2 vectors. */
  readonly functions: Readonly<Record<string, FakeFunction>>;
  /** PCI drivers that are loaded. */
  readonly drivers?: readonly string[];
  /** Modules that modprobe finds. */
  readonly modules?: readonly string[];
  readonly lockdown?: string;
  /** Whether the kernel has VFIO_NOIOMMU. */
  readonly noIommu?: boolean;
}

export const FAKE_RELEASE = '6.12.0-fake';

/** Root with /sys, /dev, /proc, /etc and /lib of a machine described by a literal, and the kernel's reactions to writes. */
export class FakeKernel {
  readonly root: string;
  /** Every write, as "path below root=value". */
  readonly writes: string[] = [];
  readonly #machine: FakeMachine;
  readonly #failures = new Map<string, string>();
  #nextUio = 0;

  /** `root`: an empty directory. */
  constructor(root: string, machine: FakeMachine) {
    this.root = root;
    this.#machine = machine;
    for (const directory of ['sys/bus/pci/devices', 'sys/bus/pci/drivers', 'dev/vfio', 'proc', 'run']) {
      mkdirSync(join(root, directory), { recursive: true });
    }
    this.#file('sys/bus/pci/drivers_probe', '');
    this.#file('dev/vfio/vfio', '');
    const modules = machine.modules ?? ['vfio-pci', 'uio_pci_generic'];
    const list = modules.map((name) => `kernel/drivers/${name}.ko.xz:\n`).join('');
    this.#file(`lib/modules/${FAKE_RELEASE}/modules.dep`, list);
    if (machine.lockdown !== undefined) this.#file('sys/kernel/security/lockdown', machine.lockdown);
    for (const driver of machine.drivers ?? []) this.load(driver);
    for (const [address, description] of Object.entries(machine.functions)) this.plug(address, description);
  }

  /** Adds a function, as hot-plug does. */
  plug(address: string, description: FakeFunction): void {
    const { vendorId = 0x1af4, deviceId = 0x1110, memoryBytes = 1 << 20 } = description;
    const directory = `sys/devices/pci0000:00/${address}`;
    this.#file(`${directory}/vendor`, `0x${vendorId.toString(16)}\n`);
    this.#file(`${directory}/device`, `0x${deviceId.toString(16)}\n`);
    this.#file(`${directory}/driver_override`, `${description.driverOverride ?? '(null)'}\n`);
    this.#file(`${directory}/enable`, '0\n');
    this.#file(`${directory}/config`, configBytes(description));
    const bars = [
      [0xfebf0000, 256, 0x40200],
      [0xfebf1000, 4096, 0x40200],
      [0x800000000, memoryBytes, 0x14220c],
    ];
    const hex = (value: number) => `0x${value.toString(16).padStart(16, '0')}`;
    const lines = bars.map(([start = 0, size = 0, flags = 0]) =>
      size === 0 ? [0, 0, 0].map(hex).join(' ') : `${hex(start)} ${hex(start + size - 1)} ${hex(flags)}`,
    );
    const none = [0, 0, 0].map(hex).join(' ');
    this.#file(`${directory}/resource`, `${[...lines, none, none, none, none].join('\n')}\n`);
    this.#file(`${directory}/resource0`, Buffer.alloc(256));
    this.#file(`${directory}/resource2`, Buffer.alloc(4096));
    this.#file(`${directory}/resource2_wc`, Buffer.alloc(4096));
    this.#link(`sys/bus/pci/devices/${address}`, `../../../devices/pci0000:00/${address}`);
    if (description.iommuGroup !== undefined) this.#joinGroup(address, description.iommuGroup);
    if (description.driver !== undefined) this.#bind(address, description.driver);
  }

  /** Takes a function away, as hot-unplug does. */
  unplug(address: string): void {
    this.#unbind(address);
    rmSync(this.#path(`sys/bus/pci/devices/${address}`));
    rmSync(this.#path(`sys/devices/pci0000:00/${address}`), { recursive: true });
  }

  /** Loads a PCI driver's module. */
  load(driver: string): void {
    this.#file(`sys/bus/pci/drivers/${driver}/bind`, '');
    this.#file(`sys/bus/pci/drivers/${driver}/unbind`, '');
    const parameter = 'sys/module/vfio/parameters/enable_unsafe_noiommu_mode';
    if (driver === 'vfio-pci' && this.#machine.noIommu) this.#file(parameter, 'N\n');
  }

  /** What modprobe would do: true when the module was found. */
  modprobe(module: string): boolean {
    const found = (this.#machine.modules ?? ['vfio-pci', 'uio_pci_generic']).includes(module);
    if (found) this.load(module);
    return found;
  }

  /** Lets writes to paths that end so fail with an errno name. */
  failWrites(ending: string, code: string): void {
    this.#failures.set(ending, code);
  }

  succeedAgain(): void {
    this.#failures.clear();
  }

  /** A process that has a file open. */
  addProcess(pid: number, name: string, openPath: string): void {
    this.#file(`proc/${pid}/comm`, `${name}\n`);
    mkdirSync(this.#path(`proc/${pid}/fd`), { recursive: true });
    symlinkSync(openPath, this.#path(`proc/${pid}/fd/7`));
  }

  removeProcess(pid: number): void {
    rmSync(this.#path(`proc/${pid}`), { recursive: true });
  }

  /** A write to an attribute, with the kernel's reaction. Give it to PciSysfs. */
  readonly write = (path: string, value: string): void => {
    this.writes.push(`${path.slice(this.root.length + 1)}=${value.trim()}`);
    for (const [ending, code] of this.#failures) {
      if (path.endsWith(ending)) throw Object.assign(new Error(`${code}: write, '${path}'`), { code });
    }
    if (!existsSync(path)) throw Object.assign(new Error(`ENOENT: open, '${path}'`), { code: 'ENOENT' });
    const attribute = basename(path);
    if (attribute === 'drivers_probe') this.#probe(value);
    else if (attribute === 'bind') this.#bind(value, basename(dirname(path)));
    else if (attribute === 'unbind') this.#unbind(value);
    else if (attribute === 'driver_override') writeFileSync(path, `${value.trim() || '(null)'}\n`);
    else if (attribute === 'enable' && existsSync(join(dirname(path), 'driver'))) {
      throw Object.assign(new Error('EBUSY: device or resource busy, write'), { code: 'EBUSY' });
    } else writeFileSync(path, `${value.trim()}\n`);
  };

  #probe(address: string): void {
    const directory = `sys/bus/pci/devices/${address}`;
    if (existsSync(this.#path(`${directory}/driver`))) return;
    const override = readFileSync(this.#path(`${directory}/driver_override`), 'utf8').trim();
    const driver = override === '(null)' ? this.#machine.functions[address]?.native : override;
    if (driver !== undefined && existsSync(this.#path(`sys/bus/pci/drivers/${driver}`))) {
      this.#bind(address, driver);
    }
  }

  #bind(address: string, driver: string): void {
    const directory = `sys/bus/pci/devices/${address}`;
    if (driver === 'vfio-pci' && !this.#bindVfio(address)) return;
    if (driver === 'uio_pci_generic') {
      const node = `uio${this.#nextUio++}`;
      mkdirSync(this.#path(`${directory}/uio/${node}`), { recursive: true });
      this.#file(`dev/${node}`, '');
    }
    if (!existsSync(this.#path(`sys/bus/pci/drivers/${driver}`))) this.load(driver);
    this.#link(`${directory}/driver`, `../../../bus/pci/drivers/${driver}`);
  }

  /** VFIO takes a function with an IOMMU group, or makes one up where noiommu mode is on (vfio_group_find_or_alloc). */
  #bindVfio(address: string): boolean {
    const group = this.#path(`sys/bus/pci/devices/${address}/iommu_group`);
    if (existsSync(group)) {
      this.#file(`dev/vfio/${basename(readlinkSync(group))}`, '');
      return true;
    }
    const parameter = this.#path('sys/module/vfio/parameters/enable_unsafe_noiommu_mode');
    if (!existsSync(parameter) || !readFileSync(parameter, 'utf8').startsWith('Y')) return false;
    this.#joinGroup(address, 0);
    this.#file('dev/vfio/noiommu-0', '');
    return true;
  }

  #unbind(address: string): void {
    const directory = this.#path(`sys/bus/pci/devices/${address}`);
    const group = join(directory, 'iommu_group');
    if (existsSync(group)) {
      rmSync(this.#path(`dev/vfio/${basename(readlinkSync(group))}`), { force: true });
      const invented = this.#path(`dev/vfio/noiommu-${basename(readlinkSync(group))}`);
      if (existsSync(invented)) {
        rmSync(invented);
        rmSync(group);
      }
    }
    if (existsSync(join(directory, 'uio'))) {
      for (const node of readdirSync(join(directory, 'uio'))) rmSync(this.#path(`dev/${node}`));
      rmSync(join(directory, 'uio'), { recursive: true });
    }
    rmSync(join(directory, 'driver'), { force: true });
  }

  #joinGroup(address: string, group: number): void {
    this.#link(
      `sys/kernel/iommu_groups/${group}/devices/${address}`,
      `../../../../devices/pci0000:00/${address}`,
    );
    this.#link(`sys/bus/pci/devices/${address}/iommu_group`, `../../../kernel/iommu_groups/${group}`);
  }

  #path(below: string): string {
    return join(this.root, below);
  }

  #file(below: string, content: string | Buffer): void {
    mkdirSync(dirname(this.#path(below)), { recursive: true });
    writeFileSync(this.#path(below), content);
  }

  #link(below: string, target: string): void {
    mkdirSync(dirname(this.#path(below)), { recursive: true });
    rmSync(this.#path(below), { force: true });
    symlinkSync(target, this.#path(below));
  }
}
