/**
 * What is measured on one stream: round trips, one at a time (`rtt`) or sent when they are due, however many are under way (`open`),
 * messages one way, each in a write of its own or a burst in one write, or whole files.
 */
export interface Order {
  readonly what: 'rtt' | 'open' | 'feed' | 'burst' | 'file';
  readonly bytes: number;
  /** Messages of a burst, where they are not 32 or as many as 64 KiB hold. */
  readonly burst?: number;
}

/** 64 B, 128 B, 512 B, 1, 2, 4, 8, 16, 64 KiB, 1 MiB. */
export const sizes = [64, 128, 512, 1024, 2048, 4096, 8192, 16_384, 65_536, 1_048_576] as const;

/** Most bytes of a burst, and most messages. */
const BURST_BYTES = 65_536;
const BURST_MESSAGES = 32;

/** Messages of one write. */
export function messagesPerWrite({ what, bytes, burst }: Order): number {
  return what === 'burst' ? (burst ?? Math.max(1, Math.min(BURST_MESSAGES, BURST_BYTES / bytes))) : 1;
}

export const orders: readonly Order[] = [
  ...sizes.map((bytes) => ({ what: 'rtt', bytes }) as const),
  ...sizes.map((bytes) => ({ what: 'feed', bytes }) as const),
  ...sizes.map((bytes) => ({ what: 'burst', bytes }) as const).filter((order) => messagesPerWrite(order) > 1),
];

/** The id of the row an order belongs to. */
export function rowId({ what, bytes }: Order): string {
  if (what === 'rtt' || what === 'open') return `${what}-${bytes}`;
  return `throughput-${bytes}${what === 'burst' ? '-burst' : ''}`;
}

/** A batch has at least so many messages, or `leastBytes` of them: many times what a ring or a socket holds when it starts. */
const LEAST_MESSAGES = 4096;

export function leastBatch({ what, bytes }: Order, leastBytes: number): number {
  return what === 'rtt' || what === 'open' ? 1 : Math.min(LEAST_MESSAGES, Math.ceil(leastBytes / bytes));
}

export function formatSize(bytes: number): string {
  if (bytes >= 1 << 20) return `${bytes / (1 << 20)} MiB`;
  return bytes >= 1024 ? `${bytes / 1024} KiB` : `${bytes} bytes`;
}
