import type { Shape } from '../stream/channel.ts';
import type { Order } from '../stream/orders.ts';

/** What carries it: channels, ivshmem/net, or node:net. */
export type Way = 'channel' | 'shared-memory' | 'net';
export const ways: readonly Way[] = ['channel', 'shared-memory', 'net'];

/** The first of two questions to a measuring process: connects and warms up. */
export interface Begin extends Order {
  readonly op: 'begin';
  /** Length of the sample, and least length of its warm-up, milliseconds. */
  readonly ms: number;
  readonly warmUpMs: number;
  /** Of what a batch holds at least. */
  readonly leastBytes: number;
  /** Round trips due in a second, whether the last one is back or not; without it one begins when the last one ends. */
  readonly perSecond?: number;
  /** Streams: the kernel reads into one buffer of the program. */
  readonly onread?: boolean;
  /** Channels: messages are copied out instead of being read in place. */
  readonly copied?: boolean;
  readonly shape?: Shape;
  /** Streams: that many of a hundred round trips go to whoever listens at `remoteAt`, outside the region. */
  readonly remote?: number;
  readonly remoteAt?: string;
}

/** The second: takes the sample, between two readings of what the processes have used until then. */
export interface Go {
  readonly op: 'go';
}

export type Command = Begin | Go;

/** What a sample gave. */
export interface Taken {
  /** Nanoseconds, or bytes per second. */
  readonly value: number;
  /** Round trips made or messages taken in it. */
  readonly operations: number;
  /** Of single round trips. */
  readonly histogram?: string;
  /** Of a mix, the round trips of each part; a part that had none is not there. */
  readonly parts?: Readonly<Partial<Record<Part, { readonly value: number; readonly histogram: string }>>>;
}

export type Part = 'local' | 'remote';

export type Reply = { readonly error: string } | { readonly value: Taken | null };
