import { closeSync } from 'node:fs';
import { binding, type Mapping } from '../native/binding.ts';
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_NOIOMMU_IOMMU,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from '../vfio/constants.ts';
import type { VfioSystem } from '../vfio/system.ts';
import { FakeMemory } from './fake-memory.ts';
import type { FakePciDevice } from './fake-pci-device.ts';

/** Above every descriptor the kernel gives out. */
const FIRST_FAKE_FD = 1_000_000;
/** As vfio-pci does it: the region index is in the upper bits of the file offset. */
const REGION_SPAN = 2 ** 40;
const REGIONS = 9;
const IRQS = 5;

type Opened =
  | { readonly kind: 'container'; iommu: number }
  | { readonly kind: 'group'; readonly number: number; container: number }
  | { readonly kind: 'device'; readonly device: FakePciDevice };

export interface FakeVfioOptions {
  readonly noIommu?: boolean;
  /** Groups with a device that a driver of the kernel holds. */
  readonly notViable?: readonly number[];
  /** Contents of reserved_regions, by group. */
  readonly reservedRegions?: Readonly<Record<number, string>>;
}

/**
 * VFIO without a kernel: groups, ioctls and devices made of TypeScript, on real memory and real eventfds. Every call is
 * written down in `calls`, and `failures` makes a call fail: `failures.set('vfioMapDma', 'ENOMEM')`, or
 * `failures.set('open /dev/vfio/7', 'EBUSY')`.
 */
export class FakeVfio implements VfioSystem {
  readonly calls: string[] = [];
  readonly failures = new Map<string, string>();
  /** What the devices reach: an I/O virtual address is an offset into it. */
  readonly memory = new FakeMemory();
  readonly FdWatch = binding.FdWatch;
  readonly #devices: readonly FakePciDevice[];
  readonly #options: FakeVfioOptions;
  readonly #opened = new Map<number, Opened>();
  #nextFd = FIRST_FAKE_FD;

  constructor(devices: readonly FakePciDevice[], options: FakeVfioOptions = {}) {
    this.#devices = devices;
    this.#options = options;
  }

  /** Descriptors that were opened and not closed. */
  get openCount(): number {
    return this.#opened.size;
  }

  /** The kernel asks for a device back, as at an unplug. */
  request(device: FakePciDevice): void {
    device.interrupt(VFIO_PCI_REQ_IRQ_INDEX, 0);
  }

  open(path: string): number {
    this.#call(`open ${path}`);
    if (path === '/dev/vfio/vfio') return this.#add({ kind: 'container', iommu: 0 });
    const number = Number(/(\d+)$/.exec(path)?.[1]);
    if (!this.exists(path)) throw kernelError('ENOENT', `open ${path}`);
    for (const opened of this.#opened.values())
      if (opened.kind === 'group' && opened.number === number) throw kernelError('EBUSY', `open ${path}`);
    return this.#add({ kind: 'group', number, container: -1 });
  }

  close(fd: number): void {
    if (fd < FIRST_FAKE_FD) {
      closeSync(fd);
      return;
    }
    const opened = this.#get(fd);
    this.#call(`close ${opened.kind}`);
    this.#opened.delete(fd);
    if (opened.kind === 'device') opened.device.closed();
  }

  exists(path: string): boolean {
    const prefix = this.#options.noIommu === true ? '/dev/vfio/noiommu-' : '/dev/vfio/';
    if (this.#devices.some(({ group }) => path === `${prefix}${group}`)) return true;
    return this.#reserved(path) !== undefined;
  }

  readText(path: string): string {
    this.#call(`read ${path}`);
    return this.#reserved(path) ?? '';
  }

  read(fd: number, into: Uint8Array, position: number): number {
    this.#call('read');
    const { device, region, offset } = this.#place(fd, position);
    return device.read(region, offset, into);
  }

  write(fd: number, from: Uint8Array, position: number): number {
    this.#call('write');
    const { device, region, offset } = this.#place(fd, position);
    return device.write(region, offset, from);
  }

  vfioApiVersion(): number {
    this.#call('vfioApiVersion');
    return this.failures.has('version') ? 1 : 0;
  }

  vfioCheckExtension(_container: number, extension: number): number {
    this.#call(`vfioCheckExtension ${extension}`);
    if (this.failures.has(`extension ${extension}`)) return 0;
    return (extension === VFIO_NOIOMMU_IOMMU) === (this.#options.noIommu === true) ? 1 : 0;
  }

  vfioSetIommu(container: number, type: number): void {
    this.#call(`vfioSetIommu ${type}`);
    const opened = this.#get(container);
    // linux/vfio.h, VFIO_SET_IOMMU: only with a group, and only once.
    const groups = [...this.#opened.values()].filter(
      (each) => each.kind === 'group' && each.container === container,
    );
    if (opened.kind !== 'container' || opened.iommu !== 0 || groups.length === 0)
      throw kernelError('EINVAL', 'ioctl VFIO_SET_IOMMU');
    opened.iommu = type;
  }

  vfioGroupStatus(group: number): number {
    this.#call('vfioGroupStatus');
    const opened = this.#get(group);
    const blocked = opened.kind === 'group' && this.#options.notViable?.includes(opened.number) === true;
    return blocked ? 0 : VFIO_GROUP_FLAGS_VIABLE;
  }

  vfioGroupSetContainer(group: number, container: number): void {
    this.#call('vfioGroupSetContainer');
    const opened = this.#get(group);
    if (opened.kind === 'group') opened.container = container;
  }

  vfioGroupUnsetContainer(group: number): void {
    this.#call('vfioGroupUnsetContainer');
    const opened = this.#get(group);
    if (opened.kind !== 'group') return;
    const busy = [...this.#opened.values()].some(
      (each) => each.kind === 'device' && each.device.group === opened.number,
    );
    if (busy) throw kernelError('EBUSY', 'ioctl VFIO_GROUP_UNSET_CONTAINER');
    opened.container = -1;
  }

  vfioGroupGetDevice(group: number, name: string): number {
    this.#call('vfioGroupGetDevice');
    const opened = this.#get(group);
    const device = this.#devices.find(({ address }) => address === name);
    if (device === undefined || opened.kind !== 'group' || device.group !== opened.number)
      throw kernelError('ENODEV', 'ioctl VFIO_GROUP_GET_DEVICE_FD');
    return this.#add({ kind: 'device', device });
  }

  vfioDeviceInfo(): { flags: number; regions: number; irqs: number } {
    this.#call('vfioDeviceInfo');
    const flags = this.failures.has('not PCI') ? 0 : VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
    return { flags, regions: REGIONS, irqs: IRQS };
  }

  vfioRegionInfo(device: number, index: number): { flags: number; size: number; offset: number } {
    this.#call('vfioRegionInfo');
    const fake = this.#device(device);
    const config = index === VFIO_PCI_CONFIG_REGION_INDEX;
    const size = config ? fake.config.length : (fake.bars[index]?.sizeBytes ?? 0);
    const mappable = fake.bars[index]?.memfd === undefined ? 0 : VFIO_REGION_INFO_FLAG_MMAP;
    const flags = size === 0 ? 0 : VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | mappable;
    return { flags, size, offset: index * REGION_SPAN };
  }

  vfioIrqInfo(device: number, index: number): { flags: number; count: number } {
    this.#call('vfioIrqInfo');
    const fake = this.#device(device);
    const count = index === VFIO_PCI_MSIX_IRQ_INDEX ? fake.vectors : index === VFIO_PCI_REQ_IRQ_INDEX ? 1 : 0;
    return { flags: VFIO_IRQ_INFO_EVENTFD, count };
  }

  vfioSetIrqEventfds(device: number, index: number, start: number, eventfds: readonly number[]): void {
    this.#call(`vfioSetIrqEventfds ${index}`);
    this.#device(device).setEventfds(index, start, eventfds);
  }

  vfioDisableIrqs(device: number, index: number): void {
    this.#call(`vfioDisableIrqs ${index}`);
    this.#device(device).setEventfds(index, 0, []);
  }

  vfioDeviceReset(): void {
    this.#call('vfioDeviceReset');
  }

  vfioMapDma(_container: number, mapping: Mapping, _offset: number, length: number, iova: number): void {
    this.#call('vfioMapDma');
    if (!this.memory.holds(mapping, iova, length)) throw kernelError('EINVAL', 'ioctl VFIO_IOMMU_MAP_DMA');
  }

  vfioUnmapDma(_container: number, iova: number, length: number): void {
    this.#call('vfioUnmapDma');
    this.memory.free(iova, length);
  }

  mapFile(fd: number, position: number, length: number, writable: boolean): Mapping {
    this.#call('mapFile');
    const { device, region, offset } = this.#place(fd, position);
    const memfd = device.bars[region]?.memfd;
    if (memfd === undefined) throw kernelError('EINVAL', 'mmap');
    return binding.mapFile(memfd, offset, length, writable);
  }

  mapAnonymous(length: number): Mapping {
    this.#call('mapAnonymous');
    return this.memory.allocate(length);
  }

  eventfdCreate(): number {
    this.#call('eventfdCreate');
    return binding.eventfdCreate();
  }

  eventfdDrain(fd: number): number {
    return binding.eventfdDrain(fd);
  }

  #call(name: string): void {
    this.calls.push(name);
    const code = this.failures.get(name) ?? this.failures.get(name.split(' ')[0]!);
    if (code !== undefined) throw kernelError(code, name);
  }

  #add(opened: Opened): number {
    this.#opened.set(this.#nextFd, opened);
    return this.#nextFd++;
  }

  #get(fd: number): Opened {
    const opened = this.#opened.get(fd);
    if (opened === undefined) throw kernelError('EBADF', 'ioctl');
    return opened;
  }

  #device(fd: number): FakePciDevice {
    const opened = this.#get(fd);
    if (opened.kind !== 'device') throw kernelError('ENOTTY', 'ioctl');
    return opened.device;
  }

  #place(fd: number, position: number): { device: FakePciDevice; region: number; offset: number } {
    const region = Math.floor(position / REGION_SPAN);
    return { device: this.#device(fd), region, offset: position - region * REGION_SPAN };
  }

  #reserved(path: string): string | undefined {
    const match = /^\/sys\/kernel\/iommu_groups\/(\d+)\/reserved_regions$/.exec(path);
    return match === null ? undefined : this.#options.reservedRegions?.[Number(match[1])];
  }
}

/** An error as the binding throws it. */
export function kernelError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: ${syscall}`), { code, syscall });
}
