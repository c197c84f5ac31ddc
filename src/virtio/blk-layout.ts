/** The block device, VIRTIO 1.3 §5.2. */

/** §5.2.3: feature bits. */
export const VIRTIO_BLK_F_SIZE_MAX = 1;
export const VIRTIO_BLK_F_SEG_MAX = 2;
export const VIRTIO_BLK_F_RO = 5;
export const VIRTIO_BLK_F_FLUSH = 9;

/** §5.2.4: struct virtio_blk_config, byte offsets. */
export const BLK_CONFIG = { capacity: 0, sizeMax: 8, segMax: 12, bytes: 16 } as const;

/** §5.2.6: a sector is 512 bytes whatever the disk's block size. */
export const SECTOR_BYTES = 512;
/** §5.2.6: struct virtio_blk_req begins { le32 type; le32 reserved; le64 sector; }. */
export const BLK_HEADER_BYTES = 16;

export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_FLUSH = 4;

export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;
/** Not a status of the device: put where it answers, to tell that it did. */
export const NO_ANSWER = 0xff;
