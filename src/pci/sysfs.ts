import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { PciAddress } from './address.ts';
import { ConfigSpace } from './config-space.ts';

/** QEMU's ivshmem device (ivshmem spec, "PCI device"). */
export const IVSHMEM_VENDOR_ID = 0x1af4;
export const IVSHMEM_DEVICE_ID = 0x1110;

/** How an attribute is written; tests put the kernel's reactions here. */
export type WriteAttribute = (path: string, value: string) => void;

export interface Resource {
  readonly start: bigint;
  readonly sizeBytes: number;
  /** IORESOURCE_* flags; 0x2000 is prefetchable. */
  readonly flags: bigint;
}

/** Without O_CREAT: an attribute that is absent must say ENOENT, not sysfs's EACCES for creating files. */
const writeAttribute: WriteAttribute = (path, value) => {
  const fd = openSync(path, constants.O_WRONLY);
  try {
    writeSync(fd, value);
  } finally {
    closeSync(fd);
  }
};

/** PCI functions as sysfs shows them, below `root` (Documentation/ABI/testing/sysfs-bus-pci). Errors are the kernel's own (`code`). */
export class PciSysfs {
  readonly root: string;
  readonly write: WriteAttribute;

  constructor(root = '/sys', write: WriteAttribute = writeAttribute) {
    this.root = root;
    this.write = write;
  }

  /** Every function with that vendor and device id, ordered by address. Empty on a machine without PCI. */
  find(vendorId: number, deviceId: number): PciFunction[] {
    const directory = join(this.root, 'bus/pci/devices');
    if (!existsSync(directory)) return [];
    const found: PciFunction[] = [];
    for (const name of readdirSync(directory).sort()) {
      const address = PciAddress.parse(name);
      if (address === undefined) continue;
      const candidate = this.function(address);
      if (candidate.vendorId === vendorId && candidate.deviceId === deviceId) found.push(candidate);
    }
    return found;
  }

  /** The function at that address; whether it exists is `exists`. */
  function(address: PciAddress): PciFunction {
    return new PciFunction(this, address);
  }

  /** Whether a PCI driver is loaded (or built in). */
  hasDriver(driver: string): boolean {
    return existsSync(join(this.root, 'bus/pci/drivers', driver));
  }

  /** Addresses of all functions of an IOMMU group, ordered. */
  groupMembers(group: number): PciAddress[] {
    const directory = join(this.root, 'kernel/iommu_groups', String(group), 'devices');
    if (!existsSync(directory)) return [];
    return readdirSync(directory)
      .sort()
      .map((name) => PciAddress.parse(name))
      .filter((address) => address !== undefined);
  }
}

/** One PCI function. Every property is read anew: the kernel and hot-plug change them at any time. */
export class PciFunction {
  readonly address: PciAddress;
  readonly path: string;
  readonly #sysfs: PciSysfs;

  constructor(sysfs: PciSysfs, address: PciAddress) {
    this.#sysfs = sysfs;
    this.address = address;
    this.path = join(sysfs.root, 'bus/pci/devices', address.toString());
  }

  get exists(): boolean {
    return existsSync(this.path);
  }

  get vendorId(): number {
    return Number(this.#read('vendor') ?? Number.NaN);
  }

  get deviceId(): number {
    return Number(this.#read('device') ?? Number.NaN);
  }

  /** The bound driver's name. */
  get driver(): string | undefined {
    return this.#link('driver');
  }

  /** The IOMMU group number; undefined without an IOMMU. */
  get iommuGroup(): number | undefined {
    const group = this.#link('iommu_group');
    return group === undefined ? undefined : Number(group);
  }

  /** The driver this function is reserved for; undefined when none ("(null)" in sysfs). */
  get driverOverride(): string | undefined {
    const text = this.#read('driver_override');
    return text === undefined || text === '' || text === '(null)' ? undefined : text;
  }

  /** Names of the /dev/uioN nodes of this function. */
  get uioNodes(): string[] {
    const directory = join(this.path, 'uio');
    return existsSync(directory) ? readdirSync(directory).sort() : [];
  }

  /** The six BARs; a BAR that is absent has size 0. */
  resources(): Resource[] {
    const lines = (this.#read('resource') ?? '').split('\n').slice(0, 6);
    return lines.map((line) => {
      const [start = '0', end = '0', flags = '0'] = line.trim().split(/\s+/);
      const sizeBytes = BigInt(end) === 0n ? 0 : Number(BigInt(end) - BigInt(start) + 1n);
      return { start: BigInt(start), sizeBytes, flags: BigInt(flags) };
    });
  }

  /** Path of resourceN, mappable with mmap; `writeCombining` names the twin that exists for prefetchable BARs. */
  resourcePath(bar: number, writeCombining = false): string {
    return join(this.path, `resource${bar}${writeCombining ? '_wc' : ''}`);
  }

  get configPath(): string {
    return join(this.path, 'config');
  }

  /** A copy of the configuration space: 64 bytes for unprivileged readers, 256 or 4096 for root. */
  config(): ConfigSpace {
    return new ConfigSpace(readFileSync(this.configPath));
  }

  /** Reserves the function for one driver; undefined lifts the reservation (a single newline clears the attribute). */
  setDriverOverride(driver: string | undefined): void {
    this.#write('driver_override', `${driver ?? ''}\n`);
  }

  /** Takes the function from its driver; nothing happens when it has none. Blocks while a VFIO user holds the device. */
  unbind(): void {
    if (this.driver !== undefined) this.#write('driver/unbind', this.address.toString());
  }

  /** Lets the kernel choose a driver, honouring driver_override. */
  probe(): void {
    this.#sysfs.write(join(this.#sysfs.root, 'bus/pci/drivers_probe'), this.address.toString());
  }

  /** Asks one driver to take the function. */
  bind(driver: string): void {
    this.#sysfs.write(join(this.#sysfs.root, 'bus/pci/drivers', driver, 'bind'), this.address.toString());
  }

  /** Counted by the kernel; EBUSY while a driver is bound (pci-sysfs.c, enable_store). */
  setEnabled(enabled: boolean): void {
    this.#write('enable', enabled ? '1' : '0');
  }

  #write(attribute: string, value: string): void {
    this.#sysfs.write(join(this.path, attribute), value);
  }

  #read(attribute: string): string | undefined {
    try {
      return readFileSync(join(this.path, attribute), 'latin1').trim();
    } catch (error) {
      // A function may be unplugged between listing and reading; then it has no attributes.
      if (isGone(error)) return undefined;
      throw error;
    }
  }

  #link(attribute: string): string | undefined {
    try {
      return basename(readlinkSync(join(this.path, attribute)));
    } catch (error) {
      if (isGone(error)) return undefined;
      throw error;
    }
  }
}

function isGone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENODEV';
}
