import type { BackendKind, DoorbellPlace, Life, MemoryFile, Part } from '../backend/backend.ts';

export type { Life, MemoryFile, Part } from '../backend/backend.ts';

/** A part of the shared memory, mapped by itself. */
export interface MappedPart {
  readonly buffer: ArrayBuffer;
  /** Detaches `buffer`, then unmaps. Idempotent. */
  close(): void;
}

/** What a region needs of the device under it; IvshmemDevice is one. */
export interface RegionDevice {
  readonly on: string;
  /** How the device is reached, told to the other members; `unknown` without it. */
  readonly kind?: BackendKind;
  readonly ivPosition: number;
  readonly memory: ArrayBuffer;
  /** What of `memory` is before the heap, mapped by itself, where `memory` is mapped only when it is asked for. */
  readonly tables?: ArrayBuffer;
  /** Of `memory`. Absent only where `tables` is. */
  readonly memoryBytes?: number;
  /**
   * Maps a part of `memory` once more, its offset on a page, for the caller to close; it is revoked and closed with the device. Absent:
   * this device has nothing to map it from.
   */
  mapPart?(offset: number, bytes: number): MappedPart;
  /**
   * For who maps the memory by itself: `make` gets its file, and what it returns is revoked and closed with the device. Returns how to
   * take that off. Absent like mapPart.
   */
  mapWith?(make: (file: MemoryFile) => Part): () => void;
  /** Interrupt vectors; 0 when the device must be polled. */
  readonly vectors: number;
  takeVector(vector: number): number;
  ring(peer: number, vector: number): void;
  /** What a native thread needs to ring a doorbell by itself; null or absent: it cannot. */
  doorbell?(peer: number, vector: number): DoorbellPlace | null;
  /** Calls back with a peer whose doorbell() is another, or none, from now on. Absent: they stay what they are. Returns how to stop. */
  onDoorbell?(callback: (peer: number) => void): () => void;
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
  /**
   * Whether the device does not answer any more. Asked when memory reads as all ones, as it does while a device is being reset;
   * onRemoved follows.
   */
  lost?(): boolean;
  close(): void;
}
