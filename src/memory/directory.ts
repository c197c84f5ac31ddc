import { crc32 } from 'node:zlib';
import { IvshmemError } from '../errors/index.ts';
import { LAYOUT_MAJOR, LAYOUT_MINOR, membershipPages, PAGE_BYTES } from './layout.ts';
import { type MembershipPlace, placeAt } from './membership.ts';

/**
 * A directory: the membership part of a region once more, in a memory of its own that VMs get as a second, read-only
 * ivshmem-plain device. A hostile member can scribble on the region's part, but not on this one (docs/security.md).
 */

/** "IVSH" "DIR1" */
const MAGIC_0 = 0x48535649;
const MAGIC_1 = 0x31524944;
/** The part begins on the page behind the header. */
const MEMBERSHIP_PAGE = 1;

export const DIRECTORY_W = { magic0: 0, magic1: 1, version: 2, slots: 3, uuid: 4, checksum: 8 } as const;

/** Bytes of the memory of a directory: a power of two, as every BAR. */
export function directoryBytes(slots: number): number {
  const pages = MEMBERSHIP_PAGE + membershipPages(slots);
  return 2 ** Math.ceil(Math.log2(pages)) * PAGE_BYTES;
}

/** Writes the header of the directory of region `uuid` (32 hexadecimal digits) and says where the part goes. */
export function writeDirectory(memory: ArrayBuffer, slots: number, uuid: string): MembershipPlace {
  const words = new Int32Array(memory, 0, PAGE_BYTES / 4);
  words[DIRECTORY_W.magic0] = MAGIC_0;
  words[DIRECTORY_W.magic1] = MAGIC_1;
  words[DIRECTORY_W.version] = (LAYOUT_MAJOR << 16) | LAYOUT_MINOR;
  words[DIRECTORY_W.slots] = slots;
  Buffer.from(memory, DIRECTORY_W.uuid * 4, 16).set(Buffer.from(uuid, 'hex'));
  // Release: pairs with the acquire in readDirectory.
  Atomics.store(words, DIRECTORY_W.checksum, checksum(words));
  return placeAt(MEMBERSHIP_PAGE, slots);
}

/**
 * Where the membership part of the directory in `memory` lies. Throws ERR_IVSHMEM_DIRECTORY when this is no directory, or not that
 * of region `uuid`.
 */
export function readDirectory(memory: ArrayBuffer, slots: number, uuid: string): MembershipPlace {
  if (memory.byteLength < PAGE_BYTES) throw refusal(`it has ${memory.byteLength} bytes`);
  const live = new Int32Array(memory, 0, PAGE_BYTES / 4);
  // Acquire: pairs with the release in writeDirectory.
  const sum = Atomics.load(live, DIRECTORY_W.checksum);
  const copy = live.slice(0, DIRECTORY_W.checksum);
  if (copy[DIRECTORY_W.magic0] !== MAGIC_0 || copy[DIRECTORY_W.magic1] !== MAGIC_1)
    throw refusal(`it begins with ${Buffer.from(copy.buffer, 0, 8).toString('hex')}, not with IVSHDIR1`);
  const major = copy[DIRECTORY_W.version]! >>> 16;
  if (major !== LAYOUT_MAJOR) throw refusal(`its layout version is ${major}, not ${LAYOUT_MAJOR}`);
  if (sum !== checksum(copy)) throw refusal('its checksum is wrong');
  const found = copy[DIRECTORY_W.slots]!;
  if (found !== slots) throw refusal(`it has ${found} slots, the region ${slots}`);
  const of = Buffer.from(copy.buffer, DIRECTORY_W.uuid * 4, 16).toString('hex');
  if (of !== uuid) throw refusal(`it belongs to region ${of}, not to ${uuid}`);
  if (memory.byteLength < directoryBytes(slots)) throw refusal(`it has only ${memory.byteLength} bytes`);
  return placeAt(MEMBERSHIP_PAGE, slots);
}

function refusal(why: string): IvshmemError {
  return new IvshmemError('ERR_IVSHMEM_DIRECTORY', { why });
}

function checksum(words: Int32Array): number {
  return crc32(new Uint8Array(words.buffer, words.byteOffset, DIRECTORY_W.checksum * 4)) | 0;
}
