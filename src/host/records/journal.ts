import { crc32 } from 'node:zlib';
import { IvshmemError } from '../../errors/index.ts';
import { type Entry, frame, unframe } from './journal-frame.ts';
import type { Storage } from './storage.ts';
import type { JournalSink } from './transaction.ts';

/** Two areas, one in use: far enough apart that neither reaches the other. The file is sparse. */
const AREA_BYTES = 2 ** 36;
/** Magic (16), u32 format, u32 generation, f64 bytes of the snapshot, u32 CRC-32 of these. */
const HEADER_BYTES = 36;
const MAGIC = Buffer.from('ivshmem journal\n');
const FORMAT = 1;
/** An area is left when it is this long, and this many times what is alive in it. */
const COMPACT_BYTES = 1 << 20;
const COMPACT_FACTOR = 4;
const SNAPSHOT_CHUNK = 256;
const READ_BYTES = 1 << 20;
const ZEROS = Buffer.alloc(READ_BYTES);

interface Area {
  readonly start: number;
  readonly generation: number;
  readonly snapshotBytes: number;
}

/**
 * What a server must know to go on where another ended: a log of transactions over a map. Each commit is one write; a
 * commit that a death cut short never happened. Once the log is long, what is alive is written to the other area, whose
 * header comes last, and the first is given back.
 */
export class Journal implements JournalSink {
  readonly #storage: Storage;
  readonly #compactBytes: number;
  /** Key -> JSON of all that is alive. */
  readonly #live = new Map<string, string>();
  #area: Area;
  /** Of the entries in the area. */
  #end: number;
  /** There is something behind the end: a commit that was cut. The next one may be shorter. */
  #torn = false;
  #closed = false;

  private constructor(storage: Storage, compactBytes: number, area: Area, end: number) {
    this.#storage = storage;
    this.#compactBytes = compactBytes;
    this.#area = area;
    this.#end = end;
  }

  /** A new, empty journal. Owns `storage` from now on. */
  static create(storage: Storage, compactBytes: number = COMPACT_BYTES): Journal {
    const journal = new Journal(
      storage,
      compactBytes,
      { start: AREA_BYTES, generation: 0, snapshotBytes: 0 },
      0,
    );
    journal.compact();
    return journal;
  }

  /**
   * The journal as the last commit left it. Changes nothing until the next append. `on` names it for the error. Throws
   * ERR_IVSHMEM_SERVER_STATE; `storage` stays the caller's then.
   */
  static load(storage: Storage, on: string, compactBytes: number = COMPACT_BYTES): Journal {
    const refuse = (why: string): never => {
      throw new IvshmemError('ERR_IVSHMEM_SERVER_STATE', { on, why });
    };
    const areas = [0, AREA_BYTES].map((start) => readHeader(storage, start));
    // A compaction that was cut leaves one without a right header, and the other untouched.
    const [area] = areas.filter((found) => 'start' in found).sort((a, b) => b.generation - a.generation);
    if (area === undefined) {
      return refuse(
        areas.map((found) => ('why' in found ? found.why : '')).find((why) => why !== '') ??
          'its journal is empty',
      );
    }
    const bytes = readUpToZeros(storage, area.start + HEADER_BYTES, area.snapshotBytes);
    const journal = new Journal(storage, compactBytes, area, 0);
    let at = 0;
    for (;;) {
      const found = unframe(bytes, at);
      if (found.kind === 'damage') return refuse(found.why);
      if (found.kind === 'end') break;
      for (const [key, value] of found.entries)
        journal.#set([key, value === null ? null : JSON.stringify(value)]);
      at = found.next;
    }
    // The header of an area is written after all of its snapshot.
    if (at < area.snapshotBytes) return refuse(`its journal ends at byte ${at} of ${area.snapshotBytes}`);
    journal.#end = at;
    journal.#torn = true;
    return journal;
  }

  /** All that is alive, parsed anew at each call. */
  entries(): Map<string, unknown> {
    return new Map([...this.#live].map(([key, json]) => [key, JSON.parse(json)]));
  }

  /** One transaction. Throws what the storage throws: then it is not kept. */
  append(entries: readonly (readonly [key: string, value: unknown])[]): void {
    if (this.#torn) this.compact();
    const encoded = entries.map(
      ([key, value]): Entry => [key, value === null ? null : JSON.stringify(value)],
    );
    const bytes = frame(encoded);
    try {
      this.#storage.write(bytes, this.#area.start + HEADER_BYTES + this.#end);
    } catch (error) {
      this.#torn = true;
      throw error;
    }
    this.#end += bytes.length;
    for (const entry of encoded) this.#set(entry);
    if (this.#end > Math.max(this.#compactBytes, COMPACT_FACTOR * this.#area.snapshotBytes)) this.compact();
  }

  /** Writes all that is alive to the other area and goes on there. */
  compact(): void {
    const old = this.#area;
    const start = old.start === 0 ? AREA_BYTES : 0;
    // An earlier try may have died on the way.
    this.#storage.clear(start, AREA_BYTES);
    let end = 0;
    const live = [...this.#live];
    for (let at = 0; at < live.length; at += SNAPSHOT_CHUNK) {
      const bytes = frame(live.slice(at, at + SNAPSHOT_CHUNK));
      this.#storage.write(bytes, start + HEADER_BYTES + end);
      end += bytes.length;
    }
    const area = { start, generation: old.generation + 1, snapshotBytes: end };
    this.#storage.write(header(area), start);
    this.#area = area;
    this.#end = end;
    this.#torn = false;
    this.#storage.clear(old.start, AREA_BYTES);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#storage.close();
  }

  #set([key, json]: Entry): void {
    if (json === null) this.#live.delete(key);
    else this.#live.set(key, json);
  }
}

function header({ generation, snapshotBytes }: Area): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(FORMAT, 16);
  bytes.writeUInt32LE(generation, 20);
  bytes.writeDoubleLE(snapshotBytes, 24);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 32)), 32);
  return bytes;
}

/** All that was ever written from `start` on: at least `least` bytes, then up to a long run of zeros. */
function readUpToZeros(storage: Storage, start: number, least: number): Buffer {
  const chunks: Buffer[] = [];
  let length = 0;
  for (;;) {
    const chunk = storage.read(start + length, READ_BYTES);
    chunks.push(chunk);
    length += chunk.length;
    if (chunk.length < READ_BYTES || (length > least && chunk.equals(ZEROS))) return Buffer.concat(chunks);
  }
}

/** What is wrong with it when the area is not in use: nothing when it is empty. */
function readHeader(storage: Storage, start: number): Area | { readonly why: string } {
  const bytes = storage.read(start, HEADER_BYTES);
  if (bytes.every((byte) => byte === 0)) return { why: '' };
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    return { why: 'its journal does not start as one' };
  }
  if (crc32(bytes.subarray(0, 32)) !== bytes.readUInt32LE(32)) {
    return { why: 'the header of its journal has a wrong checksum' };
  }
  const format = bytes.readUInt32LE(16);
  if (format !== FORMAT)
    return { why: `the format of its journal is ${format}, and this server knows ${FORMAT}` };
  return { start, generation: bytes.readUInt32LE(20), snapshotBytes: bytes.readDoubleLE(24) };
}
