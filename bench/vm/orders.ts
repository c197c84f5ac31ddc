/** One sample: a round trip of 64 bytes, or messages of a size from the answering guest to the measuring one. */
export interface Order {
  readonly what: 'rtt' | 'burst';
  readonly bytes: number;
}

export const orders: readonly Order[] = [
  { what: 'rtt', bytes: 64 },
  ...[64, 1024, 16384, 65536, 1048576].map((bytes) => ({ what: 'burst', bytes }) as const),
];

export type Path = 'channel' | 'tcp';

/** Data area of a channel, each way: that of src/study/stream/channel.ts. */
const dataBytes = 8 << 20;

/** Four times what a channel holds: descriptors by default, or bytes. */
export function leastBatch({ what, bytes }: Order): number {
  return what === 'rtt' ? 1 : 4 * Math.min(256, dataBytes / bytes);
}

/** The id of the row an order belongs to. */
export function rowId({ what, bytes }: Order): string {
  return what === 'rtt' ? `vm-rtt-${bytes}` : `vm-throughput-${bytes}`;
}

/** What the measuring guest reads for each sample, one JSON object a line. */
export interface Command extends Order {
  readonly path: Path;
  /** Length of the sample, milliseconds. */
  readonly ms: number;
}

/** What it prints for each, in the same way. */
export interface GuestSample {
  /** Nanoseconds per round trip, or bytes per second. */
  readonly value: number;
  readonly batches: readonly number[];
}
