import type { Mapping } from './binding.ts';

/** Something that lies over a part of a memory. */
export interface Part {
  /** The memory goes away: zeros from now on. */
  revoke(): void;
  close(): void;
}

/** A file that a memory is mapped from, and where in it the memory starts, bytes. */
export interface MemoryFile {
  readonly fd: number;
  readonly offset: number;
}

/** Further mappings of parts of a memory: whoever asked for one closes it, and what is left goes with the memory. */
export class Parts {
  readonly #open = new Set<Part>();

  /** Remembers a mapping until it is closed. */
  add(mapping: Mapping): Mapping {
    const open = this.#open;
    const part: Mapping = {
      get buffer() {
        return mapping.buffer;
      },
      get byteLength() {
        return mapping.byteLength;
      },
      revoke: () => mapping.revoke(),
      guard: () => mapping.guard(),
      close(): void {
        open.delete(part);
        mapping.close();
      },
    };
    open.add(part);
    return part;
  }

  /** Remembers something else; returns how to forget it. */
  adopt(part: Part): () => void {
    this.#open.add(part);
    return () => void this.#open.delete(part);
  }

  revoke(): void {
    for (const part of [...this.#open]) part.revoke();
  }

  close(): void {
    for (const part of [...this.#open]) part.close();
  }
}
