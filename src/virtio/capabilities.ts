import { IvshmemError } from '../errors/index.ts';
import { type ConfigSpace, PCI_CAP_ID_VNDR } from '../pci/config-space.ts';
import { VFIO_PCI_BAR5_REGION_INDEX } from '../vfio/constants.ts';
import {
  CAP,
  COMMON,
  VIRTIO_PCI_CAP_COMMON_CFG,
  VIRTIO_PCI_CAP_DEVICE_CFG,
  VIRTIO_PCI_CAP_ISR_CFG,
  VIRTIO_PCI_CAP_NOTIFY_CFG,
} from './layout.ts';

/** A structure of the device and where it lies. */
export interface Window {
  readonly bar: number;
  /** Bytes into the BAR. */
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface VirtioCapabilities {
  readonly common: Window;
  readonly notify: Window & { readonly multiplier: number };
  readonly isr: Window;
  /** Absent for devices without configuration (rng). */
  readonly device: Window | undefined;
}

/**
 * Reads the virtio_pci_cap list (VIRTIO 1.3 §4.1.4). Of several capabilities of a type the first usable one counts, and unknown
 * types and reserved BARs are skipped, as the driver requirements of §4.1.4.1 say. `barBytes` tells the size of a BAR,
 * 0 when absent: whatever the device claims, a window lies inside its BAR. ERR_IVSHMEM_VIRTIO_DEVICE otherwise.
 */
export function readVirtioCapabilities(
  config: ConfigSpace,
  barBytes: (bar: number) => number,
  on: string,
): VirtioCapabilities {
  const found = new Map<number, Window & { multiplier: number }>();
  for (const { id, offset } of config.capabilities()) {
    if (id !== PCI_CAP_ID_VNDR || offset + CAP.bytes > config.bytes.length) continue;
    const type = config.bytes.readUInt8(offset + CAP.type);
    const notify = type === VIRTIO_PCI_CAP_NOTIFY_CFG;
    const needed = notify ? CAP.bytes + 4 : CAP.bytes;
    if (config.bytes.readUInt8(offset + CAP.length) < needed || offset + needed > config.bytes.length)
      continue;
    const window = {
      bar: config.bytes.readUInt8(offset + CAP.bar),
      offset: config.bytes.readUInt32LE(offset + CAP.offset),
      sizeBytes: config.bytes.readUInt32LE(offset + CAP.sizeBytes),
      multiplier: notify ? config.bytes.readUInt32LE(offset + CAP.notifyMultiplier) : 0,
    };
    if (found.has(type) || window.bar > VFIO_PCI_BAR5_REGION_INDEX) continue;
    if (window.sizeBytes === 0 || window.offset + window.sizeBytes > barBytes(window.bar)) continue;
    found.set(type, window);
  }
  const demand = (
    type: number,
    name: string,
    bytes: number,
    alignment: number,
  ): Window & { multiplier: number } => {
    const window = found.get(type);
    if (window !== undefined && window.sizeBytes >= bytes && window.offset % alignment === 0) return window;
    throw new IvshmemError('ERR_IVSHMEM_VIRTIO_DEVICE', {
      on,
      why: `it has no usable ${name} capability (VIRTIO 1.3 §4.1.4)`,
    });
  };
  return {
    common: demand(VIRTIO_PCI_CAP_COMMON_CFG, 'common configuration', COMMON.bytes, 4),
    notify: demand(VIRTIO_PCI_CAP_NOTIFY_CFG, 'notification', 2, 2),
    isr: demand(VIRTIO_PCI_CAP_ISR_CFG, 'ISR status', 1, 1),
    device: found.get(VIRTIO_PCI_CAP_DEVICE_CFG),
  };
}
