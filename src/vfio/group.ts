import { forEveryone } from '../errors/for-everyone.ts';
import { IvshmemError } from '../errors/index.ts';
import { VFIO_GROUP_FLAGS_VIABLE } from './constants.ts';
import { VfioDevice } from './device.ts';
import { attempt, closedFault, vfioFault } from './fault.ts';
import { type IovaRange, parseReservedRegions } from './iova.ts';
import type { VfioSystem } from './system.ts';

/**
 * A VFIO group: the smallest set of devices an IOMMU can tell apart, hence the unit of ownership (linux/vfio.h, "IOCTLs for
 * GROUP file descriptors"). The kernel lets one open file have it at a time. Made by VfioContainer.openGroup.
 */
export class VfioGroup {
  readonly number: number;
  readonly path: string;
  readonly fd: number;
  /** The group stands for one device without an IOMMU: no isolation, no DMA mapping. */
  readonly noIommu: boolean;
  /** Set by the container once the group is in it. */
  attached = false;
  readonly #system: VfioSystem;
  readonly #onClose: (group: VfioGroup) => void;
  readonly #devices = new Set<VfioDevice>();
  #closed = false;

  private constructor(
    number: number,
    path: string,
    noIommu: boolean,
    fd: number,
    system: VfioSystem,
    onClose: (group: VfioGroup) => void,
  ) {
    this.number = number;
    this.path = path;
    this.noIommu = noIommu;
    this.fd = fd;
    this.#system = system;
    this.#onClose = onClose;
  }

  /**
   * Opens /dev/vfio/NUMBER, or /dev/vfio/noiommu-NUMBER. ERR_IVSHMEM_GROUP_BUSY when another open file has it,
   * ERR_IVSHMEM_ACCESS_DENIED without permission, ERR_IVSHMEM_VFIO when it is absent or not viable.
   */
  static open(number: number, system: VfioSystem, onClose: (group: VfioGroup) => void): VfioGroup {
    const unsafe = `/dev/vfio/noiommu-${number}`;
    const noIommu = system.exists(unsafe);
    const path = noIommu ? unsafe : `/dev/vfio/${number}`;
    let fd: number;
    try {
      fd = system.open(path);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'EBUSY')
        throw new IvshmemError('ERR_IVSHMEM_GROUP_BUSY', { on: path }, { cause });
      throw vfioFault('open the VFIO group', path, cause);
    }
    const group = new VfioGroup(number, path, noIommu, fd, system, onClose);
    try {
      const flags = attempt('read the status of the group', path, () => system.vfioGroupStatus(fd));
      if ((flags & VFIO_GROUP_FLAGS_VIABLE) === 0)
        throw new IvshmemError('ERR_IVSHMEM_GROUP_NOT_VIABLE', { on: path });
      return group;
    } catch (error) {
      group.close();
      throw error;
    }
  }

  get devices(): readonly VfioDevice[] {
    return [...this.#devices];
  }

  /** Opens a device of the group by its PCI address ("0000:00:05.0"). */
  openDevice(name: string): VfioDevice {
    if (this.#closed) throw closedFault('open a device', this.path);
    const fd = attempt(`get the device ${name}`, this.path, () =>
      this.#system.vfioGroupGetDevice(this.fd, name),
    );
    const device = VfioDevice.open(name, fd, this.#system, (closed) => this.#devices.delete(closed));
    this.#devices.add(device);
    return device;
  }

  /** Address ranges DMA must stay out of, as the kernel lists them for this group. */
  reservedRegions(): IovaRange[] {
    const path = `/sys/kernel/iommu_groups/${this.number}/reserved_regions`;
    if (!this.#system.exists(path)) return [];
    return parseReservedRegions(
      attempt('read the reserved regions', path, () => this.#system.readText(path)),
    );
  }

  /** Closes the devices of the group; the group stays. */
  closeDevices(): void {
    forEveryone(this.#devices, (device) => device.close());
  }

  /** Closes the devices, leaves the container, closes the group. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.closeDevices();
      this.#onClose(this);
      if (this.attached) this.#leaveContainer();
    } finally {
      this.#system.close(this.fd);
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #leaveContainer(): void {
    try {
      this.#system.vfioGroupUnsetContainer(this.fd);
    } catch (cause) {
      // EINVAL: it is in none. After an unplug the kernel takes a group that lost its last device out by itself, at the moment
      // the device's descriptor is closed (vfio_device_remove_group).
      if ((cause as NodeJS.ErrnoException).code !== 'EINVAL')
        throw vfioFault('take the group out of the container', this.path, cause);
    }
  }
}
