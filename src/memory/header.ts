import { crc32 } from 'node:zlib';
import { IvshmemError } from '../errors/index.ts';
import {
  HEADER_W,
  LAYOUT_MAJOR,
  LAYOUT_MINOR,
  MAGIC_0,
  MAGIC_1,
  MAX_CHANNELS,
  MAX_SLOTS,
  membershipPages,
  PAGE_BYTES,
  REGION_NAME_BYTES,
  SPACE_PAGES,
  SPACES_MINOR,
  tablePages,
} from './layout.ts';
import { readName, writeName } from './names.ts';

const HEADER_WORDS = HEADER_W.ready + 1;

/** The shape of a region, read from a checked copy of its header. Positions are pages from the start. */
export interface RegionHeader {
  readonly minor: number;
  readonly regionPages: number;
  readonly slots: number;
  readonly vectors: number;
  readonly channels: number;
  readonly slotTablePage: number;
  readonly memberPage: number;
  readonly channelTablePage: number;
  readonly heapPage: number;
  /** 0: this region has no membership part (layout 1.0). */
  readonly membershipPage: number;
  /** 0: this region has no spaces (layout 1.1 and earlier). */
  readonly spacePage: number;
  /** 32 hexadecimal digits; another one is another region, whatever the name. */
  readonly uuid: string;
  readonly name: string;
}

/**
 * Copies the header at the start of `memory`, checks the copy and returns what it says. `mappedBytes` is the size of
 * the region as the device or the server gave it.
 * Throws ERR_IVSHMEM_REGION_MAGIC, _MAJOR, _UNREADY, _CHECKSUM, _TRUNCATED or _GARBAGE.
 */
export function readHeader(memory: ArrayBuffer, mappedBytes: number = memory.byteLength): RegionHeader {
  if (Math.min(memory.byteLength, mappedBytes) < PAGE_BYTES) {
    const found = Math.min(memory.byteLength, mappedBytes);
    throw new IvshmemError('ERR_IVSHMEM_REGION_TRUNCATED', { expected: PAGE_BYTES, found });
  }
  const live = new Int32Array(memory, 0, HEADER_WORDS);
  // Acquire: pairs with the release of `ready` in writeHeader.
  const ready = Atomics.load(live, HEADER_W.ready);
  const copy = live.slice();
  const word = (at: number): number => copy[at]! >>> 0;
  if (word(HEADER_W.magic0) !== MAGIC_0 || word(HEADER_W.magic1) !== MAGIC_1) {
    const found = Buffer.from(copy.buffer, 0, 8).toString('hex');
    throw new IvshmemError('ERR_IVSHMEM_REGION_MAGIC', { found });
  }
  const major = word(HEADER_W.version) >>> 16;
  const minor = word(HEADER_W.version) & 0xffff;
  if (major !== LAYOUT_MAJOR) {
    throw new IvshmemError('ERR_IVSHMEM_REGION_MAJOR', {
      found: `${major}.${minor}`,
      expected: LAYOUT_MAJOR,
    });
  }
  if (ready !== 1) throw new IvshmemError('ERR_IVSHMEM_REGION_UNREADY', {});
  const expected = checksum(copy);
  const found = word(HEADER_W.checksum);
  if (found !== expected) throw new IvshmemError('ERR_IVSHMEM_REGION_CHECKSUM', { found, expected });
  const heapPage = word(HEADER_W.heapPage);
  const header = {
    minor,
    regionPages: word(HEADER_W.regionPages),
    slots: word(HEADER_W.slots),
    vectors: word(HEADER_W.vectors),
    channels: word(HEADER_W.channels),
    slotTablePage: word(HEADER_W.slotTablePage),
    memberPage: word(HEADER_W.memberPage),
    channelTablePage: word(HEADER_W.channelTablePage),
    heapPage,
    membershipPage: minor === 0 ? 0 : word(HEADER_W.membershipPage),
    spacePage: minor < SPACES_MINOR ? 0 : heapPage - SPACE_PAGES,
    uuid: Buffer.from(copy.buffer, HEADER_W.uuid * 4, 16).toString('hex'),
    name: readName(copy, HEADER_W.name, REGION_NAME_BYTES),
  };
  checkShape(header, mappedBytes);
  return header;
}

/** Everything of the header that a server chooses. */
export interface NewHeader {
  /** Of the layout; LAYOUT_MINOR unless it is that of a region an older server made. */
  readonly minor?: number;
  readonly regionBytes: number;
  readonly slots: number;
  readonly vectors: number;
  readonly channels: number;
  readonly uuid: Uint8Array;
  readonly name: string;
}

/** Writes the header, `ready` last: for the server, once, when every other part of the region is in place. */
export function writeHeader(memory: ArrayBuffer, header: NewHeader): void {
  const words = new Int32Array(memory, 0, HEADER_WORDS);
  words.fill(0);
  words[HEADER_W.magic0] = MAGIC_0;
  words[HEADER_W.magic1] = MAGIC_1;
  const minor = header.minor ?? LAYOUT_MINOR;
  words[HEADER_W.version] = (LAYOUT_MAJOR << 16) | minor;
  words[HEADER_W.regionPages] = header.regionBytes / PAGE_BYTES;
  words[HEADER_W.slots] = header.slots;
  words[HEADER_W.vectors] = header.vectors;
  words[HEADER_W.channels] = header.channels;
  const pages = tablePages(header.slots, header.channels, minor);
  words[HEADER_W.slotTablePage] = pages.slotTablePage;
  words[HEADER_W.memberPage] = pages.memberPage;
  words[HEADER_W.channelTablePage] = pages.channelTablePage;
  words[HEADER_W.heapPage] = pages.heapPage;
  words[HEADER_W.membershipPage] = pages.membershipPage;
  new Uint8Array(memory, HEADER_W.uuid * 4, 16).set(header.uuid);
  writeName(words, HEADER_W.name, REGION_NAME_BYTES, header.name);
  words[HEADER_W.checksum] = checksum(words);
  // Release: pairs with the acquire in readHeader.
  Atomics.store(words, HEADER_W.ready, 1);
}

function checksum(words: Int32Array): number {
  return crc32(new Uint8Array(words.buffer, words.byteOffset, HEADER_W.checksum * 4));
}

/** The parts lie where tablePages puts them in this major version's map: in order, without overlap, inside the region. */
function checkShape(header: RegionHeader, mappedBytes: number): void {
  const refuse = (field: string, found: number): never => {
    throw new IvshmemError('ERR_IVSHMEM_REGION_GARBAGE', { field, found });
  };
  if (header.regionPages * PAGE_BYTES !== mappedBytes) {
    const expected = header.regionPages * PAGE_BYTES;
    throw new IvshmemError('ERR_IVSHMEM_REGION_TRUNCATED', { expected, found: mappedBytes });
  }
  const { slots, vectors, channels } = header;
  if (slots < 2 || slots > MAX_SLOTS) refuse('slots', slots);
  if (vectors < 1 || vectors > MAX_VECTORS) refuse('vectors', vectors);
  if (channels < 1 || channels > MAX_CHANNELS) refuse('channels', channels);
  // A higher minor may put something in between: only order and room are asked for.
  const least = tablePages(slots, channels);
  const memberPages = least.memberPage - least.slotTablePage;
  const channelPages = least.membershipPage - least.channelTablePage;
  if (header.slotTablePage < 1) refuse('slotTablePage', header.slotTablePage);
  if (header.memberPage < header.slotTablePage + memberPages) refuse('memberPage', header.memberPage);
  if (header.channelTablePage < header.memberPage + slots)
    refuse('channelTablePage', header.channelTablePage);
  const { membershipPage } = header;
  if (membershipPage !== 0) {
    if (membershipPage < header.channelTablePage + channelPages) refuse('membershipPage', membershipPage);
    const least = membershipPage + membershipPages(slots) + (header.spacePage === 0 ? 0 : SPACE_PAGES);
    if (header.heapPage < least) refuse('heapPage', header.heapPage);
  } else if (header.heapPage < header.channelTablePage + channelPages) refuse('heapPage', header.heapPage);
  if (header.heapPage > header.regionPages) refuse('heapPage', header.heapPage);
}

/** The doorbell's slow path in QEMU masks the vector with 0xff (ivshmem_io_write). */
export const MAX_VECTORS = 256;
