import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import type { Row, SpreadRow } from '../../bench/harness/types.ts';
import { asBenchmark, connectItem, type Item, stallItem } from '../../bench/sockets/benchmarks.ts';
import { socketRows } from '../../bench/sockets/rows.ts';
import { type Pairs, type Settings, type SocketSample, takeAll } from '../../bench/sockets/schedule.ts';
import { takenOf } from '../../bench/sockets-vm/iperf.ts';

/** Of a whole run, beside others that want the processors. */
const LIMIT_MS = 240_000;
t.setTimeout(LIMIT_MS + 20_000);

const settings: Settings = {
  ...{ rounds: 2, ms: 1, warmUpMs: 1, seed: 3, maxOthers: 1000, maxRetries: 0, patienceMs: 0, budgetMs: 0 },
  leastBytes: 1,
};

const item: Item = {
  ...{ id: 'x', metric: 'm', unit: 'B/s', better: 'higher', target: { baselineName: 'unix', ratio: 1 } },
  ways: ['ours', 'unix', 'tcp'].map((name) => ({ name, pair: name })),
  command: (_, { ms, warmUpMs }) => ({ op: 'load', ms, warmUpMs }),
};

t.test('what fails is named with its reason, its pair is dropped, and the rest goes on', async (t) => {
  const dropped: string[] = [];
  const values: Record<string, number> = { ours: 20, unix: 10 };
  const pairs: Pairs & AsyncDisposable = {
    pids: [],
    async get(name) {
      if (name === 'tcp') throw new Error('there is no such thing');
      return { ask: async () => ({ value: values[name]!, batches: [values[name]!] }) };
    },
    drop: async (name) => void dropped.push(name),
    [Symbol.asyncDispose]: async () => {},
  };
  const lines: string[] = [];
  const outcome = await takeAll(
    [item],
    settings,
    async () => pairs,
    (line) => lines.push(line),
  );
  t.strictSame(dropped, ['tcp', 'tcp']);
  t.strictSame([...outcome.failures], [['x tcp', 'there is no such thing']]);
  t.equal(outcome.samples.length, 4);
  t.equal(lines.length, 6);
  const { rows, missing } = socketRows([item], outcome.samples);
  t.match(rows, [
    { id: 'x', ours: 20, baseline: 10, baselineName: 'unix', ratio: 2, samples: { ours: [20, 20] } },
  ]);
  t.strictSame(rows[0]!.target, [{ text: '>= 1x unix', met: true }]);
  t.strictSame(missing, []);
  t.strictSame(
    asBenchmark(item).contestants.map(({ name }) => name),
    ['ours', 'unix', 'tcp'],
  );
});

t.test(
  'a sample beside which others were busy is taken again, as long as the run has time for that',
  async (t) => {
    let asked = 0;
    const pair = { ask: async () => ({ value: ++asked, batches: [asked] }) };
    const pairs: Pairs & AsyncDisposable = {
      ...{ pids: [], get: async () => pair, drop: async () => {} },
      [Symbol.asyncDispose]: async () => {},
    };
    const busy = { ...settings, rounds: 1, maxOthers: -1, maxRetries: 2 };
    const one = { ...item, ways: item.ways.slice(0, 1) };
    const patient = await takeAll(
      [one],
      { ...busy, budgetMs: 60_000 },
      async () => pairs,
      () => {},
    );
    t.match(patient.samples, [{ value: 3, retries: 2 }]);
    const late = await takeAll(
      [one],
      { ...busy, budgetMs: 0 },
      async () => pairs,
      () => {},
    );
    t.match(late.samples, [{ value: 4, retries: 0 }]);
  },
);

t.test('set-up times and stalls keep their tails', async (t) => {
  const sample = (id: string, name: string, batches: number[], raw?: SocketSample['raw']): SocketSample => ({
    ...{ id, name, round: 1, value: 1, batches, others: 0, retries: 0 },
    ...(raw === undefined ? {} : { raw }),
  });
  const { rows, missing } = socketRows(
    [connectItem, stallItem],
    [
      sample('connect', 'ours', [3, 3, 9], { shared: [10, 20, 30] }),
      sample('connect', 'tcp', [1, 2, 3]),
      sample('switch-stall', 'ours', [4, 5, 70], { still: [1, 1, 2] }),
    ],
  );
  const found = rows as SpreadRow[];
  t.match(found, [
    { id: 'connect', baselineName: 'tcp', ours: 3, p99: 9, baseline: 2, ratio: 1.5 },
    { id: 'connect-shared-memory', baselineName: 'tcp', ours: 20, p99: 30, baseline: 2 },
    { id: 'switch-stall', baselineName: 'no-switch', ours: 5, p99: 70, baseline: 1 },
  ]);
  t.strictSame(
    found.map(({ target }) => target?.[0]?.met),
    [true, undefined, false],
  );
  t.match(missing, ['connect unix: no sample of the baseline']);
});

t.test('a report of iperf3', async (t) => {
  const interval = (bits: number, omitted: boolean) => ({ sum: { bits_per_second: bits, omitted } });
  const report = {
    intervals: [interval(1, true), interval(80, false), interval(160, false)],
    end: { sum_received: { bits_per_second: 120 } },
  };
  t.strictSame(takenOf(JSON.stringify(report), ''), { value: 15, batches: [10, 20] });
  t.throws(() => takenOf('{"error":"unable to connect"}', ''), /iperf3: unable to connect/);
  t.throws(() => takenOf('', 'killed'), /iperf3: killed/);
  t.throws(() => takenOf('', ''), /no report/);
});

t.test('a whole run of a few ids between two processes', { timeout: LIMIT_MS }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ivshmem-bench-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'sockets.json');
  const words = ['bench/run.ts', 'sockets', '--quick', '--ms', '20', '--contestants', 'ours,tcp'];
  const only = ['--only', 'rtt-64,throughput-65536,connect'];
  const options = { timeout: LIMIT_MS - 10_000 };
  const run = ['--import', 'tsx', ...words, ...only, '--json', file];
  await promisify(execFile)(process.execPath, run, options);
  const rows = JSON.parse(readFileSync(file, 'utf8')) as Row[];
  t.strictSame(
    rows.map(({ id, baselineName }) => `${id} ${baselineName}`),
    ['rtt-64 tcp', 'throughput-65536 tcp', 'connect tcp', 'connect-shared-memory tcp'],
  );
  for (const { ours, baseline, ratio } of rows) t.ok(Math.abs(ours / baseline - ratio) < 1e-9 && ours > 0);
  const details = JSON.parse(readFileSync(file.replace('.json', '.details.json'), 'utf8'));
  t.match(details, { benchmark: 'sockets', failed: {}, settings: { rounds: 1, ms: 20 } });
});
