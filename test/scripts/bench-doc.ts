import t from 'tap';
import type { Row } from '../../bench/harness/types.ts';
import { benchBlock, formatValue, replaceBlock, shortRows } from '../../scripts/bench-doc.ts';

const rows: Row[] = JSON.parse(`[
  { "id": "rtt-64-busy", "metric": "round trip of 64 bytes", "unit": "ns", "better": "lower", "ours": 180, "baseline": 120,
    "baselineName": "c-line", "ratio": 1.5, "samples": { "ours": [170, 180, 190], "baseline": [120, 121, 119] } },
  { "id": "rate-64-burst", "metric": "messages a|b", "unit": "/s", "better": "higher", "ours": 61200000, "baseline": 340000,
    "baselineName": "zeromq", "ratio": 180, "samples": { "ours": [61200000], "baseline": [340000] } }
]`);
const machine = {
  cpu: 'Some CPU',
  cpus: 2,
  hypervisor: true,
  kernel: '6.1.0',
  node: 'v20.19.0',
  at: '2026-01-02T03:04:05Z',
};

t.test('a block from rows', async (t) => {
  const lines = benchBlock(rows, machine).split('\n');
  t.equal(
    lines[0],
    'Some CPU, 2 CPUs, in a virtual machine; Linux 6.1.0, Node 20.19.0; 2026-01-02. Medians.',
  );
  t.equal(lines[4], '| `rtt-64-busy` | round trip of 64 bytes ↓ | 180 ns | `c-line` | 120 ns | 1.50x | 3 |');
  t.equal(lines[5], '| `rate-64-burst` | messages a\\|b ↑ | 61.2M /s | `zeromq` | 340k /s | 180x | 1 |');
});

t.test('README shows the floors only', async (t) => {
  t.strictSame(
    shortRows(rows).map((row) => row.baselineName),
    ['c-line'],
  );
});

t.test('what is no row is refused', async (t) => {
  t.throws(() => benchBlock([], machine), /no row/);
  t.throws(() => benchBlock([{ ...rows[0]!, ours: Number.NaN }], machine), /no row of a benchmark/);
  t.throws(() => benchBlock([{ ...rows[0]!, ratio: 2 }], machine), /not ours \/ baseline/);
});

t.test('only what is between the marks changes', async (t) => {
  const document = 'before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n';
  const replaced = replaceBlock(document, 'new');
  t.equal(replaced, 'before\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\nafter\n');
  t.equal(replaceBlock(replaced, 'new'), replaced, 'twice is once');
  t.throws(() => replaceBlock('no marks', 'new'), /marks/);
});

t.test('numbers stay short', async (t) => {
  t.strictSame([0.0123, 1.5, 999, 1234, 12_345, 1.2e6, 3.4e10].map(formatValue), [
    '0.0123',
    '1.50',
    '999',
    '1234',
    '12.3k',
    '1.20M',
    '34.0G',
  ]);
});
