import { IvshmemError } from '../../errors/index.ts';
import {
  INDEX_ENTRIES,
  INDEX_W,
  KINDS,
  type Kind,
  NAME_BYTES,
  OBJECT_W,
  OBJECT_WORDS,
  OBJECTS,
  OBJECTS_W,
  READY,
} from './layout.ts';
import type { Lives } from './lives.ts';

/** FNV-1a. */
function hash(bytes: Uint8Array): number {
  let h = 0x811c9dc5;
  for (const byte of bytes) h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
}

/**
 * The named objects of a space: found by name, made when there is none. Lock-free: an object is prepared where nobody looks, and
 * then put into the index by one compare-and-swap. Of two members that make the same name at once, the one that loses gives
 * its object back. What a dead member had begun to prepare is taken by the next who needs one.
 */
export class ObjectTable {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #lives: Lives;

  constructor(words: Int32Array, lives: Lives) {
    this.#words = words;
    this.#bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    this.#lives = lives;
  }

  /** The number of the object, and whether it was made now. `state` is the first value of its state word. */
  open(kind: Kind, name: string, parameter: number, state: number): { number: number; made: boolean } {
    const encoded = new TextEncoder().encode(name);
    const control = [...name].some((character) => character < ' ' || character === '\x7f');
    if (encoded.length === 0 || encoded.length > NAME_BYTES || control)
      throw new IvshmemError('ERR_IVSHMEM_SYNC_NAME', { kind, name: name.slice(0, 80) });
    const padded = new Uint8Array(NAME_BYTES);
    padded.set(encoded);
    let prepared = -1;
    const start = hash(padded);
    for (let n = 0; n < INDEX_ENTRIES; ) {
      const entry = INDEX_W + ((start + n) % INDEX_ENTRIES);
      // Acquire: pairs with the compareExchange below, behind which name and kind were written.
      const found = Atomics.load(this.#words, entry);
      if (found === 0) {
        if (prepared < 0) prepared = this.#prepare(kind, name, padded, parameter, state);
        if (Atomics.compareExchange(this.#words, entry, 0, prepared + 1) !== 0) continue; // look who came
        Atomics.store(this.#words, this.#at(prepared), READY);
        return { number: prepared, made: true };
      }
      if (found < 1 || found > OBJECTS) throw new IvshmemError('ERR_IVSHMEM_SYNC_DAMAGED', { kind, name });
      if (this.#named(found - 1, padded)) {
        if (prepared >= 0) Atomics.store(this.#words, this.#at(prepared), 0);
        this.#requireKind(found - 1, kind, name);
        return { number: found - 1, made: false };
      }
      n++;
    }
    throw new IvshmemError('ERR_IVSHMEM_SYNC_DAMAGED', { kind, name });
  }

  kindOf(number: number): Kind | 'none' {
    return KINDS[Atomics.load(this.#words, this.#at(number) + OBJECT_W.kind)] ?? 'none';
  }

  parameterOf(number: number): number {
    return Atomics.load(this.#words, this.#at(number) + OBJECT_W.parameter);
  }

  #at(number: number): number {
    return OBJECTS_W + number * OBJECT_WORDS;
  }

  #named(number: number, padded: Uint8Array): boolean {
    const from = (this.#at(number) + OBJECT_W.name) * 4;
    for (let n = 0; n < NAME_BYTES; n++) if (this.#bytes[from + n] !== padded[n]) return false;
    return true;
  }

  #requireKind(number: number, kind: Kind, name: string): void {
    const found = this.kindOf(number);
    if (found !== kind) throw new IvshmemError('ERR_IVSHMEM_SYNC_KIND', { kind, name, found });
  }

  #prepare(kind: Kind, name: string, padded: Uint8Array, parameter: number, state: number): number {
    const number = this.#claim();
    if (number < 0) throw new IvshmemError('ERR_IVSHMEM_SYNC_FULL', { kind, name, most: OBJECTS });
    const at = this.#at(number);
    this.#words.fill(0, at + 1, at + OBJECT_WORDS);
    this.#bytes.set(padded, (at + OBJECT_W.name) * 4);
    this.#words[at + OBJECT_W.kind] = KINDS.indexOf(kind);
    this.#words[at + OBJECT_W.parameter] = parameter;
    this.#words[at + OBJECT_W.state] = state;
    return number;
  }

  #claim(): number {
    const words = this.#words;
    for (let number = 0; number < OBJECTS; number++) {
      const at = this.#at(number);
      const claim = Atomics.load(words, at);
      if (claim === READY || (claim !== 0 && this.#lives.alive(claim))) continue;
      // Its owner died: either before it put the object into the index, or after.
      if (claim !== 0 && this.#indexed(number)) Atomics.compareExchange(words, at, claim, READY);
      else if (Atomics.compareExchange(words, at, claim, this.#lives.token) === claim) return number;
    }
    return -1;
  }

  #indexed(number: number): boolean {
    for (let n = 0; n < INDEX_ENTRIES; n++)
      if (Atomics.load(this.#words, INDEX_W + n) === number + 1) return true;
    return false;
  }
}
