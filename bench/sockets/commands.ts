import type { Order } from '../../src/study/stream/orders.ts';

/** What a measuring program is asked, one JSON object a line. */
export type Command =
  | ({ readonly op: 'stream'; readonly onread: boolean; readonly leastBytes: number } & Timing & Order)
  | ({ readonly op: 'connect' } & Timing)
  | ({ readonly op: 'load' } & Timing)
  | { readonly op: 'stall'; readonly switches: number };

export interface Timing {
  /** Length of the sample, milliseconds. */
  readonly ms: number;
  /** Least length of its warm-up. */
  readonly warmUpMs: number;
}

/** What it answers, in the same way. */
export type Reply = { readonly error: string } | { readonly value: Taken };

export interface Taken {
  /** Nanoseconds per round trip, bytes per second, milliseconds, or requests per second. */
  readonly value: number;
  readonly batches: readonly number[];
  /** Other figures of the same sample, all raw. */
  readonly raw?: Readonly<Record<string, readonly number[]>>;
}
