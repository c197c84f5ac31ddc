import { median } from '../harness/statistics.ts';

export { timeBatches } from '../../src/study/batches.ts';

/** Prints the line the harness reads. `perOperation` is bytes or messages that one operation moves; 0: a round trip, in ns. */
export function printBatches(nanoseconds: readonly number[], unit: string, perOperation: number): void {
  const batches = perOperation === 0 ? nanoseconds : nanoseconds.map((ns) => (perOperation * 1e9) / ns);
  process.stdout.write(`${JSON.stringify({ value: median(batches), unit, batches })}\n`);
}
