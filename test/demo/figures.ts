import t from 'tap';
import { type Figures, formatFigures, median } from '../../src/demo/figures.ts';

const figures = (
  path: string,
  rttUs: number,
  messagesPerSecond: number,
  bytesPerSecond: number,
): Figures => ({
  path,
  rttUs,
  messagesPerSecond,
  bytesPerSecond,
  received: 1,
});

t.test('a table whose other rows are compared with the first', async (t) => {
  const text = formatFigures([
    figures('shared memory', 2, 10e6, 8e9),
    figures('UNIX socket', 25, 500_000, 2.5e9),
    figures('slower', 1, 20e6, 16e9),
  ]);
  t.equal(
    text,
    [
      '               round trip, 64 B  messages, 64 B  bandwidth, 64 KiB  shared memory is better by',
      'shared memory  2 us              10,000,000 /s   8,000 MB/s',
      'UNIX socket    25 us             500,000 /s      2,500 MB/s         12.5x / 20x / 3.2x',
      'slower         1 us              20,000,000 /s   16,000 MB/s        0.5x / 0.5x / 0.5x',
    ].join('\n'),
  );
});

t.test('the median of an odd and of an even number of values', async (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 3, 2]), 2.5);
});
