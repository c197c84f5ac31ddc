import type { Mapping } from './binding.ts';

/** Further mappings of parts of a memory: whoever asked for one closes it, and what is left goes with the memory. */
export class Parts {
  readonly #open = new Set<Mapping>();

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

  revoke(): void {
    for (const part of this.#open) part.revoke();
  }

  close(): void {
    for (const part of [...this.#open]) part.close();
  }
}
