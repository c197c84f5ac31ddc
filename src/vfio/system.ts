import { closeSync, existsSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { type Binding, binding } from '../native/binding.ts';

/** The part of the native binding that VFIO needs. */
export type VfioBinding = Pick<
  Binding,
  | 'vfioApiVersion'
  | 'vfioCheckExtension'
  | 'vfioSetIommu'
  | 'vfioGroupStatus'
  | 'vfioGroupSetContainer'
  | 'vfioGroupUnsetContainer'
  | 'vfioGroupGetDevice'
  | 'vfioDeviceInfo'
  | 'vfioRegionInfo'
  | 'vfioIrqInfo'
  | 'vfioSetIrqEventfds'
  | 'vfioDisableIrqs'
  | 'vfioDeviceReset'
  | 'vfioMapDma'
  | 'vfioUnmapDma'
  | 'mapFile'
  | 'mapAnonymous'
  | 'eventfdCreate'
  | 'eventfdDrain'
  | 'FdWatch'
>;

/**
 * The kernel as the VFIO classes see it: ioctls, and files read and written at a position. Tests and simulated devices
 * (src/testing) put another one in its place. Calls fail with the `code` of the kernel's errno.
 */
export interface VfioSystem extends VfioBinding {
  /** open(2) for reading and writing. */
  open(path: string): number;
  close(fd: number): void;
  exists(path: string): boolean;
  readText(path: string): string;
  /** pread(2): how many bytes were read. */
  read(fd: number, into: Uint8Array, position: number): number;
  /** pwrite(2): how many bytes were written. */
  write(fd: number, from: Uint8Array, position: number): number;
}

/** The running kernel. */
export const kernel: VfioSystem = {
  ...binding,
  open: (path) => openSync(path, 'r+'),
  close: closeSync,
  exists: existsSync,
  readText: (path) => readFileSync(path, 'latin1'),
  read: (fd, into, position) => readSync(fd, into, 0, into.length, position),
  write: (fd, from, position) => writeSync(fd, from, 0, from.length, position),
};
