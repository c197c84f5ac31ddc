import t from 'tap';
import type { EndResult, Ends, Wanted } from '../../src/study/end/ends.ts';
import { channel, type Path, sharedMemory, tun, virtioNet } from '../../src/study/end/paths.ts';
import { factorJobs, membersJob, pageSizeJob, vectorsJob } from '../../src/study/experiments/factors.ts';
import { fileJobs } from '../../src/study/experiments/file.ts';
import { mixJobs } from '../../src/study/experiments/mix.ts';
import { nativePaths, noiseJobs, sizeJobs } from '../../src/study/experiments/sizes.ts';
import type { Job } from '../../src/study/suite.ts';

/** Both sides of paths that are only written down. */
class Asked implements Ends {
  readonly orders: { readonly path: Path; readonly wanted: Wanted }[] = [];
  readonly crowds: number[] = [];
  readonly pids: readonly number[] = [];

  async take(path: Path, wanted: Wanted): Promise<EndResult> {
    this.orders.push({ path, wanted });
    const used = { cpuNs: 2e9, userNs: 1e9, systemNs: 1e9, switches: 1000 };
    return { value: 7, operations: 1e6, bytes: 64e6, used } as unknown as EndResult;
  }

  async crowd(members: number): Promise<AsyncDisposable> {
    this.crowds.push(members);
    return { [Symbol.asyncDispose]: async () => void this.crowds.push(-members) };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

async function taken(jobs: readonly Job<Ends>[]): Promise<Asked> {
  const asked = new Asked();
  for (const { take } of jobs) await take(asked);
  return asked;
}

const key = ({ planned }: Job<Ends>): string =>
  JSON.stringify([planned.experiment, planned.where, planned.point, planned.path, planned.metric]);

const sizes = sizeJobs({
  where: 'native',
  bytes: [64, 65_536],
  paths: nativePaths,
  perSecond: 500,
  openBytes: [64],
});
const all: readonly Job<Ends>[] = [
  ...sizes,
  ...sizeJobs({
    where: 'vm',
    bytes: [64],
    paths: [sharedMemory, virtioNet, tun],
    perSecond: 5,
    openBytes: [],
  }),
  ...noiseJobs('native', [channel]),
  ...mixJobs('native', [0, 50, 100], 1024),
  ...factorJobs(false),
  ...fileJobs('vm', [sharedMemory, virtioNet], 1 << 20),
  pageSizeJob('4 KiB'),
  pageSizeJob('2 MiB', 'none is reserved'),
  ...[1, 4].map(vectorsJob),
];

t.test('no two jobs measure the same thing', async (t) => {
  t.equal(new Set(all.map(key)).size, all.length);
});

t.test('each job asks for what it says: its bytes, its path, its share, its way', async (t) => {
  for (const job of all) {
    const { planned } = job;
    const { orders } = await taken([job]);
    t.equal(orders.length, 1, key(job));
    const { path, wanted } = orders[0]!;
    if ('bytes' in planned.point) t.equal(wanted.bytes, planned.point.bytes, key(job));
    if ('remote' in planned.point) t.equal(wanted.remote, planned.point.remote, key(job));
    if ('perSecond' in planned.point) t.match(wanted, { what: 'open', perSecond: planned.point.perSecond });
    if (planned.metric === 'round-trip') t.match(wanted.what, /^(rtt|open)$/, key(job));
    if (planned.metric === 'throughput') t.match(wanted.what, /^(burst|feed|file)$/, key(job));
    t.equal(planned.path.startsWith(path.name), true, `${key(job)} over ${path.name}`);
  }
});

t.test('a factor has all of its levels; quickly, the ends of its range', async (t) => {
  const levels = (quick: boolean, factor: string): unknown[] =>
    factorJobs(quick).flatMap(({ planned: { point } }) => (point.factor === factor ? [point.level] : []));
  t.same(levels(false, 'ring-depth'), [16, 64, 256, 1024]);
  t.same(levels(true, 'ring-depth'), [16, 1024]);
  for (const quick of [false, true]) {
    t.same(levels(quick, 'doorbell-suppression'), ['on', 'off']);
    t.same(levels(quick, 'wait'), ['busy', 'adaptive', 'loop', 'interrupt']);
  }
  const { orders } = await taken(factorJobs(false));
  t.same(
    orders.flatMap(({ wanted: { shape } }) => (shape?.queueSize === undefined ? [] : [shape.queueSize])),
    [16, 64, 256, 1024],
  );
  t.equal(orders.filter(({ path }) => path.ringAlways === true).length, 1);
  t.equal(orders.filter(({ path }) => path.together === true).length, 1);
});

t.test('members that do nothing are there while it is measured, and gone after it', async (t) => {
  const asked = new Asked();
  const { planned, take } = membersJob(64);
  t.match(await take(asked as never), { value: 7 });
  t.same([planned.point.members, asked.crowds], [64, [62, -62]]);
});

t.test('throughput has its cost beside it, by what was moved', async (t) => {
  const job = sizes.find(({ planned }) => planned.metric === 'throughput' && planned.point.bytes === 65_536)!;
  const { beside = [] } = await job.take(new Asked());
  const of = (metric: string) => beside.find((one) => one.metric === metric)?.value;
  t.equal(of('cpu-per-message'), 2);
  t.equal(of('context-switches-per-message'), 1000);
  t.ok(Math.abs(of('cpu')! - 2 / ((1e6 * 65_536) / 2 ** 30)) < 1e-9);
});

t.test('what is absent says why', async (t) => {
  t.equal(pageSizeJob('2 MiB', 'none is reserved').planned.absent, 'none is reserved');
  t.equal(pageSizeJob('4 KiB').planned.absent, undefined);
});
