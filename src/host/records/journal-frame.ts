import { crc32 } from 'node:zlib';

/** u32 bytes of payload, u32 CRC-32 of the payload, u32 CRC-32 of the first two: little-endian. */
export const FRAME_BYTES = 12;

/** A key and its JSON; null: the key is removed. */
export type Entry = readonly [key: string, json: string | null];

/**
 * One commit. The payload is a JSON array, so its last byte is never 0: a frame that ends in a zero was not written to its
 * end, and one that does not, but has a wrong CRC, was changed afterwards.
 */
export function frame(entries: readonly Entry[]): Buffer {
  const text = `[${entries.map(([key, json]) => `[${JSON.stringify(key)},${json ?? 'null'}]`).join(',')}]`;
  const bytes = Buffer.allocUnsafe(FRAME_BYTES + Buffer.byteLength(text));
  bytes.write(text, FRAME_BYTES);
  const payload = bytes.subarray(FRAME_BYTES);
  bytes.writeUInt32LE(payload.length, 0);
  bytes.writeUInt32LE(crc32(payload), 4);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 8)), 8);
  return bytes;
}

export type Unframed =
  /** A whole frame; `next` is the position after it. */
  | {
      readonly kind: 'frame';
      readonly entries: readonly (readonly [string, unknown])[];
      readonly next: number;
    }
  /** Nothing, or a beginning of a frame, and zeros up to the end. */
  | { readonly kind: 'end' }
  | { readonly kind: 'damage'; readonly why: string };

/** The frame at `at` of all that was ever written, zeros behind it or not. */
export function unframe(bytes: Buffer, at: number): Unframed {
  if (allZero(bytes, at + FRAME_BYTES)) {
    // Nothing, or a header that was cut: a whole one without payload does not exist.
    return { kind: 'end' };
  }
  if (crc32(bytes.subarray(at, at + 8)) !== bytes.readUInt32LE(at + 8)) {
    return { kind: 'damage', why: `the journal entry at byte ${at} has a wrong header` };
  }
  const end = at + FRAME_BYTES + bytes.readUInt32LE(at);
  const payload = bytes.subarray(at + FRAME_BYTES, end);
  const complete = end <= bytes.length && bytes[end - 1] !== 0;
  if (!complete && allZero(bytes, end)) return { kind: 'end' };
  if (crc32(payload) !== bytes.readUInt32LE(at + 4)) {
    return { kind: 'damage', why: `the journal entry at byte ${at} has a wrong checksum` };
  }
  return parsed(payload, at, end);
}

function parsed(payload: Buffer, at: number, next: number): Unframed {
  const damage = { kind: 'damage', why: `the journal entry at byte ${at} holds no entries` } as const;
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch {
    return damage;
  }
  if (!Array.isArray(value) || !value.every(isEntry)) return damage;
  return { kind: 'frame', entries: value, next };
}

function isEntry(value: unknown): value is [string, unknown] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string';
}

function allZero(bytes: Buffer, from: number): boolean {
  for (let at = from; at < bytes.length; at++) if (bytes[at] !== 0) return false;
  return true;
}
