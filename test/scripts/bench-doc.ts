import t from 'tap';
import type { Row, SpreadRow } from '../../bench/harness/types.ts';
import {
  benchBlock,
  membershipBlock,
  replaceBlock,
  shortRows,
  socketsBlock,
} from '../../scripts/bench-doc.ts';
import { formatValue, hasTail } from '../../scripts/bench-doc-rows.ts';

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

t.test('a block of rows with tails and goals', async (t) => {
  const row: SpreadRow = {
    ...{ id: 'detect-join-64', metric: 'join', unit: 'ms', better: 'lower', baselineName: 'poll-1s' },
    ...{ ours: 2, p99: 4, worst: 5, baseline: 500, baselineP99: 990, baselineWorst: 1001, ratio: 0.004 },
    samples: { ours: [2], baseline: [500] },
    target: [
      { text: 'p99 <= 10 ms', met: true },
      { text: 'other', met: false },
    ],
  };
  t.ok(hasTail(row));
  t.notOk(hasTail(rows[0]!));
  const lines = membershipBlock([row], { ...machine, line: 'QEMU' }, 'QEMU').split('\n');
  t.equal(lines[2], 'Rows `detect-…-vm`: QEMU.');
  t.equal(
    lines[6],
    '| `detect-join-64` | join | 2.00 ms | 4.00 ms | 5.00 ms | `poll-1s` | 500 ms | 990 ms | 0.00400x | p99 <= 10 ms: met; other: **missed** |',
  );
  t.throws(() => membershipBlock([{ ...row, ratio: 1 }], machine), /not ours \/ baseline/);
});

t.test(
  'a block of sockets: all baselines of an id in one line, tails apart, and what is missing',
  async (t) => {
    const rtt: Row = {
      ...{ id: 'rtt-64', metric: 'round trip', unit: 'ns', better: 'lower', ours: 500, baseline: 1000 },
      ...{ baselineName: 'unix', ratio: 0.5, samples: { ours: [400, 500, 600], baseline: [1000] } },
      target: [{ text: '<= 1x unix', met: true }],
    };
    const tcp: Row = { ...rtt, baselineName: 'tcp', baseline: 2000, ratio: 0.25, target: [] };
    const stall: SpreadRow = {
      ...{ id: 'switch-stall', metric: 'gap', unit: 'ms', better: 'lower', baselineName: 'no-switch' },
      ...{ ours: 2, p99: 60, worst: 61, baseline: 1, baselineP99: 2, baselineWorst: 3, ratio: 2 },
      samples: { ours: [2], baseline: [1] },
      target: [{ text: 'p99 <= 50 ms', met: false }],
    };
    const lines = socketsBlock([rtt, tcp, stall], machine, { 'http ours': 'no | such thing' }).split('\n');
    t.match(lines[0], /^Some CPU, 2 CPUs/);
    t.equal(lines[2], '| id | what | ours | from, to | `unix` | ratio | `tcp` | ratio | goal |');
    t.equal(
      lines[4],
      '| `rtt-64` | round trip, ns ↓ | 500 | 400, 600 | 1000 | 0.500x | 2000 | 0.250x | <= 1x unix: met |',
    );
    t.equal(
      lines[8],
      '| `switch-stall` | gap, ms ↓ | 2.00 | 60.0 | 61.0 | `no-switch` | 1.00 | 2.00 | 2.00x | p99 <= 50 ms: **missed** |',
    );
    t.equal(lines.at(-1), 'Not measured: http ours: no \\| such thing.');
    const inVms = socketsBlock([rtt], { ...machine, line: 'A processor; QEMU; accelerator tcg' });
    t.match(inVms, /^A processor; QEMU; accelerator tcg; 2026-01-02. Medians./);
    t.throws(() => socketsBlock([{ ...rtt, ratio: 3 }], machine), /not ours \/ baseline/);
  },
);

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
  t.equal(replaceBlock(document, 'new', 'bench'), replaced);
  const other = '<!-- bench:x:begin -->\nold\n<!-- bench:x:end -->\n';
  t.equal(replaceBlock(document + other, 'new', 'bench:x'), document + other.replace('old', 'new'));
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
