import type { Mapping } from '../native/binding.ts';
import type { MemoryFile, Part } from '../native/parts.ts';

export type { MemoryFile, Part } from '../native/parts.ts';

export type BackendKind = 'vfio' | 'uio' | 'host';

/** One life of a driver in its slot, for whoever outlives it: where its obituary goes (docs/shared-memory.md, "Obituaries"). */
export interface Life {
  readonly slot: number;
  /** The driver's generation, as its HELLO says it; never 0. */
  readonly generation: number;
  /** Byte offset in the shared memory of the word `obituary`; the reason is the word after it. */
  readonly obituaryOffset: number;
  /** Byte offset of the server's member block, in which the slot is marked. */
  readonly serverBlockOffset: number;
}

/**
 * What a thread without JavaScript needs to ring one vector of one peer: an eventfd, or one aligned 32-bit store of `value` at
 * `offset` bytes into `registers` (BAR0). Valid until the peer leaves or the backend is closed.
 */
export type DoorbellPlace =
  | { readonly eventfd: number }
  | { readonly registers: ArrayBuffer; readonly offset: number; readonly value: number };

/**
 * How a BAR and an interrupt are reached. Three implementations: `vfio` (a guest, interrupts by MSI-X eventfds),
 * `uio` (a guest, polled, doorbells outward), `host` (a process that is a peer over the ivshmem server's socket).
 */
export interface Backend {
  readonly kind: BackendKind;
  /** What was opened: a PCI address or a socket path. For messages. */
  readonly on: string;
  /** IVPosition: this peer's ID (ivshmem spec, "IVPosition Register"). */
  readonly ivPosition: number;
  /** BAR2: the shared memory. */
  readonly memory: Mapping;
  /** The part of `memory` before its heap, where that is mapped by itself and `memory` only when it is asked for. */
  readonly tables?: Mapping;
  /** Of `memory`. Absent only where `tables` is. */
  readonly memoryBytes?: number;
  /**
   * Maps a part of the shared memory once more: `offset` and `bytes` from its start, the offset on a page. The mapping is the
   * caller's to close; a removal revokes it like `memory`, and close() closes it.
   */
  mapPart(offset: number, bytes: number): Mapping;
  /**
   * For who maps the shared memory by itself: `make` gets the file of it, of which it may keep a duplicate until revoke() or close() of
   * what it returns, which follow as with mapPart. Returns how to take that off again, for who closes it before.
   */
  mapWith(make: (file: MemoryFile) => Part): () => void;
  /** One eventfd per MSI-X vector, signalled by an interrupt; empty when the backend has none (polled). */
  readonly interrupts: readonly number[];
  /** Writes the Doorbell register: (peer << 16) | vector. A missing peer is silently ignored, as the device does. */
  ring(peer: number, vector: number): void;
  /** Where that doorbell is; null when there is no such peer or vector, or no place that a store reaches. */
  doorbell(peer: number, vector: number): DoorbellPlace | null;
  /** Calls back with a peer that came, or left, with its doorbells. Absent where they are always the same. Returns how to stop. */
  onDoorbell?(callback: (peer: number) => void): () => void;
  /**
   * Guards a life from now on: when this process dies, somebody else writes its obituary and rings the server. Undone by close()
   * and by a removal. Absent where the server sees the death by itself. Never throws; what fails is a warning.
   */
  guard?(life: Life): void;
  /**
   * Whether the device does not answer any more: it is being reset, or its memory space was turned off. To be asked when memory reads
   * as all ones, for then everything does. What follows is as after a removal: the obituary is written by the guardian, memory
   * shows zeros, onRemoved is called. Absent where there is no device.
   */
  lost?(): boolean;
  /**
   * Called once when the device is about to go away and its memory and doorbell still work: the last chance to say so. Only
   * VFIO asks in time.
   */
  onRemoving(callback: () => void): void;
  /**
   * Called once if the device goes away (VFIO request interrupt) or is reset; the server's socket closed does NOT count. Memory is
   * revoked first.
   */
  onRemoved(callback: () => void): void;
  /** Releases everything; idempotent; detaches the memory before unmapping. */
  close(): void;
}
