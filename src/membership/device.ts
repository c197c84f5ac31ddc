/** One life of a driver in its slot, for whoever outlives it. */
export interface Life {
  /** This member's slot. */
  readonly slot: number;
  /** The driver's generation, as its HELLO says it; never 0. */
  readonly generation: number;
  /** Byte offsets from the start of the shared memory. The obituary is two words: generation, then (second word) reason; the reason is written first. */
  readonly obituaryOffset: number;
  /** Of the server's member block, in which the obituary is announced by marking `slot` (docs/shared-memory.md, "Notifying a member"). */
  readonly serverBlockOffset: number;
}

/** What a region needs of the device under it; IvshmemDevice is one. */
export interface RegionDevice {
  readonly on: string;
  /** How the device is reached, told to the other members; `unknown` without it. */
  readonly kind?: 'vfio' | 'uio' | 'host';
  readonly ivPosition: number;
  readonly memory: ArrayBuffer;
  /** Interrupt vectors; 0 when the device must be polled. */
  readonly vectors: number;
  takeVector(vector: number): number;
  ring(peer: number, vector: number): void;
  /**
   * Calls back, synchronously, when the device is about to go (hot-unplug) and its memory and doorbell still work: the last
   * chance to say so. Not called by close().
   */
  onRemoving?(callback: () => void): void;
  /** Calls back once when the device is gone: memory shows zeros. */
  onRemoved(callback: () => void): void;
  /**
   * Called after each HELLO: whoever outlives this process (a guardian) writes the obituary of this life when it dies.
   * Undone by close(), after which the life has ended in order. A device whose death the server sees by itself (`host`) has none.
   */
  guard?(life: Life): void;
  close(): void;
}
