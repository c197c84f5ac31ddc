import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { apps } from '../../bench/dsm/apps/index.ts';
import { dsmBenchmarks } from '../../bench/dsm/benchmarks.ts';
import { apartInProcess } from '../../bench/dsm/messages.ts';
import { judged } from '../../bench/dsm/run.ts';
import type { Row } from '../../bench/harness/types.ts';
import { withoutOpenssl } from '../host/hosts/support/certificates.ts';

/** Of a run of a few ids, beside others that want the processors. */
const LIMIT_MS = 240_000;
t.setTimeout(LIMIT_MS + 20_000);

/** Members of one process: everybody goes on when the last has come. */
function meeting(members: number) {
  let waiting: (() => void)[] = [];
  return async (): Promise<void> => {
    if (waiting.length + 1 < members) return new Promise((resolve) => waiting.push(resolve));
    const all = waiting;
    waiting = [];
    for (const go of all) go();
  };
}

for (const app of apps) {
  t.test(
    `${app.name}: the same result by one, by two together, and by two that exchange messages`,
    async (t) => {
      const fresh = () => app.on(new ArrayBuffer(app.bytes(app.small)), app.small);
      const one = fresh();
      one.prepare();
      await one.together({ member: 0, members: 1, meet: meeting(1) });
      const digest = one.digest();
      t.ok(digest !== 0);

      const [buffer, meet] = [new ArrayBuffer(app.bytes(app.small)), meeting(2)];
      const two = [0, 1].map(() => app.on(buffer, app.small));
      two[0]!.prepare();
      const apart = [fresh(), fresh()];
      apart[0]!.prepare();
      // The second run finds what the first has left.
      for (const run of ['first', 'second']) {
        await Promise.all(two.map((half, member) => half.together({ member, members: 2, meet })));
        t.equal(two[0]!.digest(), digest, `together, ${run} run`);
        const ends = apartInProcess();
        await Promise.all(apart.map((half, member) => half.apart(ends[member]!)));
        t.equal(apart[0]!.digest(), digest, `apart, ${run} run`);
      }
    },
  );
}

t.test('a row says which of its goals were met', async (t) => {
  const row = (id: string, ours: number, baseline: number, baselineName: string): Row => ({
    ...{ id, metric: 'm', unit: 'ns', better: 'lower', ours, baseline, baselineName },
    ...{ ratio: ours / baseline, samples: { ours: [ours], baseline: [baseline] } },
  });
  const rows = judged(dsmBenchmarks(), [
    row('access-random', 100, 96, 'private'),
    row('access-random', 100, 94, 'private'),
    row('fault-local', 20_001, 1, 'private'),
    row('app-tsp-2x1', 10, 16, 'one-process'),
    row('app-tsp-2x1', 10, 16, 'messages'),
    row('fault-remote-4k', 250, 100, 'tcp'),
    row('stream-remote', 69, 100, 'tcp'),
  ]);
  t.strictSame(
    rows.map(({ target }) => target?.map(({ met }) => met)),
    [[true], [false], [false], [true], undefined, [true], [false]],
  );
});

t.test('a run of a few ids', { skip: withoutOpenssl() ?? false, timeout: LIMIT_MS }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ivshmem-bench-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'dsm.json');
  const ids = ['lock-contended', 'app-quicksort-2x1', 'fault-local-spread'];
  const words = ['bench/run.ts', 'dsm', '--quick', '--ms', '20', '--only', ids.join(), '--json', file];
  await promisify(execFile)(process.execPath, ['--import', 'tsx', ...words], { timeout: LIMIT_MS - 10_000 });
  const rows = JSON.parse(readFileSync(file, 'utf8')) as Row[];
  t.strictSame(
    rows.map(({ id, baselineName }) => `${id} ${baselineName}`),
    [
      'lock-contended messages',
      'app-quicksort-2x1 one-process',
      'app-quicksort-2x1 messages',
      'fault-local-spread private',
    ],
  );
  t.ok(rows.every(({ ours, baseline }) => ours > 0 && baseline > 0));
});
