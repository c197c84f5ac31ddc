/** Modern virtio over PCI: numbers of VIRTIO 1.3, named as there. */

export const VIRTIO_VENDOR_ID = 0x1af4;
/** §4.1.2: PCI device ID = 0x1040 + virtio device ID. */
export const VIRTIO_PCI_DEVICE_BASE = 0x1040;
export const PCI_SUBSYSTEM_ID = 0x2e;

/** §5: virtio device IDs. */
export const VIRTIO_ID_BLOCK = 2;
export const VIRTIO_ID_RNG = 4;

/** §4.1.4: cfg_type of a virtio_pci_cap. */
export const VIRTIO_PCI_CAP_COMMON_CFG = 1;
export const VIRTIO_PCI_CAP_NOTIFY_CFG = 2;
export const VIRTIO_PCI_CAP_ISR_CFG = 3;
export const VIRTIO_PCI_CAP_DEVICE_CFG = 4;

/** §4.1.4: struct virtio_pci_cap, byte offsets. */
export const CAP = {
  length: 2,
  type: 3,
  bar: 4,
  offset: 8,
  sizeBytes: 12,
  notifyMultiplier: 16,
  bytes: 16,
} as const;

/** §4.1.4.3: struct virtio_pci_common_cfg, byte offsets. */
export const COMMON = {
  deviceFeatureSelect: 0,
  deviceFeature: 4,
  driverFeatureSelect: 8,
  driverFeature: 12,
  configMsixVector: 16,
  numQueues: 18,
  deviceStatus: 20,
  configGeneration: 21,
  queueSelect: 22,
  queueSize: 24,
  queueMsixVector: 26,
  queueEnable: 28,
  queueNotifyOff: 30,
  queueDesc: 32,
  queueDriver: 40,
  queueDevice: 48,
  bytes: 56,
} as const;

/** §4.1.5.1.2: a vector that could not be assigned reads back as this. */
export const VIRTIO_MSI_NO_VECTOR = 0xffff;

/** §2.1: device status bits. */
export const STATUS_ACKNOWLEDGE = 1;
export const STATUS_DRIVER = 2;
export const STATUS_DRIVER_OK = 4;
export const STATUS_FEATURES_OK = 8;
export const STATUS_DEVICE_NEEDS_RESET = 64;
export const STATUS_FAILED = 128;

/** §6: feature bits that are not of one device type, by number. */
export const FEATURE = {
  VIRTIO_F_INDIRECT_DESC: 28,
  VIRTIO_F_EVENT_IDX: 29,
  VIRTIO_F_VERSION_1: 32,
  VIRTIO_F_ACCESS_PLATFORM: 33,
  VIRTIO_F_RING_PACKED: 34,
  VIRTIO_F_IN_ORDER: 35,
} as const;
