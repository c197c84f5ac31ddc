/** What one path between two programs can do. */
export interface Figures {
  /** Name of the path: "shared memory", "TCP over virtio-net". */
  readonly path: string;
  /** Median round trip of a 64-byte message, microseconds. */
  readonly rttUs: number;
  /** 64-byte messages per second, one way. */
  readonly messagesPerSecond: number;
  /** Bytes per second with 64 KiB messages, one way. */
  readonly bytesPerSecond: number;
  /** Messages the other side says it received in all, with their content checked. */
  readonly received: number;
}

/** How much to measure: round trips per batch, batches, messages one way, 64 KiB messages one way. */
export interface Effort {
  readonly roundTrips: number;
  readonly batches: number;
  readonly messages: number;
  readonly blocks: number;
}

export const MESSAGE_BYTES = 64;
export const BLOCK_BYTES = 64 << 10;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const count = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

/** A table of figures; the ratio column compares each path with the first. */
export function formatFigures(all: readonly Figures[]): string {
  const rows = all.map((figures) => [
    figures.path,
    `${count.format(figures.rttUs)} us`,
    `${count.format(figures.messagesPerSecond)} /s`,
    `${count.format(figures.bytesPerSecond / 1e6)} MB/s`,
    figures === all[0] ? '' : ratios(all[0]!, figures),
  ]);
  const table = [
    ['', 'round trip, 64 B', 'messages, 64 B', 'bandwidth, 64 KiB', 'shared memory is better by'],
    ...rows,
  ];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  return table
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function ratios(ours: Figures, other: Figures): string {
  const times = [
    other.rttUs / ours.rttUs,
    ours.messagesPerSecond / other.messagesPerSecond,
    ours.bytesPerSecond / other.bytesPerSecond,
  ];
  return times.map((ratio) => `${count.format(ratio)}x`).join(' / ');
}
