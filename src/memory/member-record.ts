import { crc32 } from 'node:zlib';
import { NAME_BYTES, RECORD_BYTES } from './layout.ts';
import { BACKENDS, KIND_DISCONNECT, REASONS, STATE_FREE, STATE_LEAVING } from './membership.ts';
import { isName, readName, writeName } from './names.ts';

/** One record of the membership table and of the view log: a slot as of one view. */
export interface MemberRecord {
  /** The view that made it, from 1, modulo 2^32. */
  readonly view: number;
  readonly kind: number;
  readonly reason: number;
  readonly state: number;
  readonly slot: number;
  readonly epoch: number;
  readonly generation: number;
  /** Of the server's clock, milliseconds since 1970. */
  readonly time: number;
  /** Empty while no driver is attached. */
  readonly name: string;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** Index into BACKENDS. */
  readonly backend: number;
  readonly listenersTruncated: boolean;
  readonly items: readonly Item[];
}

/** One self-described field. A label's text is `key=value`. */
export interface Item {
  readonly type: ItemType;
  readonly text: string;
}
export type ItemType = 'address' | 'label' | 'listener';

const ITEM_TYPES: readonly ItemType[] = ['address', 'label', 'listener'];
export const MAX_ITEM_BYTES = 255;

const W = {
  view: 0,
  /** kind | reason << 8 | state << 16 */
  change: 1,
  slot: 2,
  epoch: 3,
  generation: 4,
  /** Bytes of items. */
  used: 5,
  seconds: 6,
  milliseconds: 7,
  name: 8,
  pid: 16,
  uid: 17,
  gid: 18,
  backend: 19,
  flags: 20,
  /** CRC-32 of everything before it and of the items. */
  checksum: 23,
} as const;
export const RECORD_W = W;
export const FIXED_BYTES = 96;
export const FIXED_WORDS = FIXED_BYTES / 4;
export const MAX_ITEMS_BYTES = RECORD_BYTES - FIXED_BYTES;
export const FLAG_LISTENERS_TRUNCATED = 1;

/** Items as bytes: type (1 address, 2 label, 3 listener), length, text, one after the other. */
export function encodeItems(items: readonly Item[]): Uint8Array {
  const encoder = new TextEncoder();
  const parts = items.map(({ type, text }) => ({
    type: ITEM_TYPES.indexOf(type) + 1,
    bytes: encoder.encode(text),
  }));
  const all = new Uint8Array(parts.reduce((sum, { bytes }) => sum + 2 + bytes.length, 0));
  let at = 0;
  for (const { type, bytes } of parts) {
    if (bytes.length > MAX_ITEM_BYTES) throw new RangeError(`an item of ${bytes.length} bytes`);
    all.set([type, bytes.length], at);
    all.set(bytes, at + 2);
    at += 2 + bytes.length;
  }
  return all;
}

/** Items from a private copy of bytes that anybody may have written; null when they make no sense. */
export function decodeItems(bytes: Uint8Array): Item[] | null {
  const items: Item[] = [];
  const decoder = new TextDecoder();
  for (let at = 0; at < bytes.length; ) {
    const type = ITEM_TYPES[bytes[at]! - 1];
    const length = bytes[at + 1];
    if (type === undefined || length === undefined || at + 2 + length > bytes.length) return null;
    const text = decoder.decode(bytes.subarray(at + 2, at + 2 + length));
    // U+FFFD stands where the bytes were not UTF-8.
    if (!isName(text, MAX_ITEM_BYTES * 3) || text.includes('\ufffd')) return null;
    items.push({ type, text });
    at += 2 + length;
  }
  return items;
}

/** A record as words, a whole number of them; its items must fit (MAX_ITEMS_BYTES). */
export function encodeRecord(record: MemberRecord): Int32Array {
  const items = encodeItems(record.items);
  if (items.length > MAX_ITEMS_BYTES) throw new RangeError(`${items.length} bytes of items`);
  const words = new Int32Array(FIXED_WORDS + Math.ceil(items.length / 4));
  words[W.view] = record.view;
  words[W.change] = record.kind | (record.reason << 8) | (record.state << 16);
  words[W.slot] = record.slot;
  words[W.epoch] = record.epoch;
  words[W.generation] = record.generation;
  words[W.used] = items.length;
  words[W.seconds] = Math.floor(record.time / 1000);
  words[W.milliseconds] = Math.floor(record.time % 1000);
  writeName(words, W.name, NAME_BYTES, record.name);
  words[W.pid] = record.pid;
  words[W.uid] = record.uid;
  words[W.gid] = record.gid;
  words[W.backend] = record.backend;
  words[W.flags] = record.listenersTruncated ? FLAG_LISTENERS_TRUNCATED : 0;
  new Uint8Array(words.buffer).set(items, FIXED_BYTES);
  words[W.checksum] = checksum(words, items.length);
  return words;
}

/** Words that a record with this fixed part takes, or 0 when the part makes no sense. Look before you copy the rest. */
export function recordWords(fixed: Int32Array): number {
  const used = fixed[W.used]!;
  return used < 0 || used > MAX_ITEMS_BYTES ? 0 : FIXED_WORDS + Math.ceil(used / 4);
}

/** The record in a private copy of words; null when its checksum or any field is wrong. `slots`: of the region. */
export function decodeRecord(copy: Int32Array, slots: number): MemberRecord | null {
  const length = recordWords(copy);
  const used = copy[W.used]!;
  if (length === 0 || copy.length < length || copy[W.checksum] !== checksum(copy, used)) return null;
  const change = copy[W.change]!;
  const kind = change & 0xff;
  const reason = (change >>> 8) & 0xff;
  const state = (change >>> 16) & 0xff;
  const slot = copy[W.slot]!;
  const backend = copy[W.backend]!;
  const name = readName(copy, W.name, NAME_BYTES);
  const items = decodeItems(new Uint8Array(copy.buffer, copy.byteOffset + FIXED_BYTES, used).slice());
  if (kind > KIND_DISCONNECT || reason >= REASONS.length || state > STATE_LEAVING) return null;
  if (slot < 0 || slot >= slots || backend < 0 || backend >= BACKENDS.length || items === null) return null;
  if (name === '' ? state > STATE_FREE + 1 : !isName(name, NAME_BYTES)) return null;
  return {
    view: copy[W.view]! >>> 0,
    kind,
    reason,
    state,
    slot,
    epoch: copy[W.epoch]! >>> 0,
    generation: copy[W.generation]!,
    time: (copy[W.seconds]! >>> 0) * 1000 + (copy[W.milliseconds]! >>> 0),
    name,
    pid: copy[W.pid]!,
    uid: copy[W.uid]! >>> 0,
    gid: copy[W.gid]! >>> 0,
    backend,
    listenersTruncated: (copy[W.flags]! & FLAG_LISTENERS_TRUNCATED) !== 0,
    items,
  };
}

function checksum(words: Int32Array, used: number): number {
  const head = crc32(new Uint8Array(words.buffer, words.byteOffset, W.checksum * 4));
  return crc32(new Uint8Array(words.buffer, words.byteOffset + FIXED_BYTES, used), head) | 0;
}
