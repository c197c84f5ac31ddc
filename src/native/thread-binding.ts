import { binding, type Mapping } from './binding.ts';

type DoorbellPlace =
  | { readonly eventfd: number }
  | { readonly registers: ArrayBuffer; readonly offset: number; readonly value: number };

/** A space that several threads of this process use: the side of the thread that opened it (native/thread_share.cc). */
export interface ThreadShare {
  /** An eventfd that is signalled when a thread wakes this one, or ends. */
  readonly home: number;
  /** Drains `home`; how many threads have ended since it was called before. */
  heard(): number;
  /** How threads ring a peer; null: not at all. */
  setDoorbell(peer: number, place: DoorbellPlace | null): void;
  wake(seat: number): void;
  wakeAll(): void;
  /** What threads have mapped shows zeros from now on, and they are woken. Idempotent; also at the end of the environment. */
  close(): void;
}

/** The side of another thread (native/thread_seat.cc). */
export interface ThreadSeat {
  /** An eventfd that is signalled when this thread is to look; watch it, and drain(). */
  readonly fd: number;
  /** What the space is mapped from. Belongs to the seat. */
  readonly file: number;
  /** Whether either side was closed. */
  over(): boolean;
  /** The mapping goes the way of the space. ENOENT once that was closed. */
  adopt(mapping: Mapping): void;
  /** Takes a number to be woken by. At its end, in whatever way, the words at these byte offsets of the mapping are stored 0, in that order. */
  sit(seat: number, mapping: Mapping, words: readonly number[]): void;
  /** Blocks this thread until it is woken, or somebody rings the member's doorbell; at most so long. */
  wait(timeoutMs: number): void;
  drain(): void;
  /** Another thread of this process by its seat, or the one that opened the space. */
  wake(seat: number): void;
  wakeHome(): void;
  ring(peer: number): void;
  close(): void;
}

interface ThreadBinding {
  /** `file`: what the space is mapped from; `bell`: the eventfd of the member's doorbell, or -1. Both are duplicated. EEXIST: the token is taken. */
  readonly ThreadShare: new (
    token: string,
    file: number,
    bell: number,
  ) => ThreadShare;
  /** ENOENT: there is no such share, or not any more. */
  readonly ThreadSeat: new (
    token: string,
  ) => ThreadSeat;
}

export const { ThreadShare, ThreadSeat } = binding as unknown as ThreadBinding;
