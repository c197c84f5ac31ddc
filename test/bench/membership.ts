import t from 'tap';
import { quantile, randomSource } from '../../bench/harness/statistics.ts';
import { ackWords, firstSeen, markSeen } from '../../bench/membership/acks.ts';
import { unitsOf } from '../../bench/membership/detect.ts';
import { evaluate } from '../../bench/membership/detect-vm.ts';
import { costFigures, detectFigures, idleFigures, restartFigures } from '../../bench/membership/figures.ts';
import { spread } from '../../bench/membership/fleet.ts';
import { Gaps } from '../../bench/membership/gaps.ts';
import { difference, parseThread } from '../../bench/membership/proc.ts';
import { spreadRow } from '../../bench/membership/rows.ts';
import { type Cause, match, type Sighting } from '../../bench/membership/sightings.ts';

const ms = 1e6;
const join: Cause = { kind: 'join', name: 'm', at: 10 * ms, cold: false, paced: true };
const crash: Cause = { kind: 'crash', name: 'm', at: 20 * ms, cold: false, paced: true };

function sighting(observer: string, type: string, at: number, more: Partial<Sighting> = {}): Sighting {
  return { observer, type, name: 'm', view: 7, at, ...more };
}

t.test('quantiles by nearest rank', async (t) => {
  const values = Array.from({ length: 200 }, (_, i) => 200 - i);
  t.equal(quantile(values, 0.99), 198);
  t.equal(quantile(values, 1), 200);
  t.equal(quantile([5], 0.99), 5);
});

t.test('delays are from the cause to each observer, whoever noted first', async (t) => {
  const seen = [sighting('b', 'join', 14 * ms), sighting('a', 'join', 12 * ms)];
  const { delays, wrong } = match([join], ['a', 'b'], seen, {
    exactly: true,
    stamps: [{ type: 'join', name: 'm', at: 11 * ms }],
  });
  t.strictSame(wrong, []);
  t.match(delays, [{ ms: [2, 4], spreadMs: 2, serverMs: 1, view: 7 }]);
});

t.test('what was not seen, or seen as something else, is no delay', async (t) => {
  const wrongs = (causes: Cause[], sightings: Sighting[], exactly = true) => {
    const { delays, wrong } = match(causes, ['a', 'b'], sightings, { exactly });
    t.equal(delays.length + wrong.length, causes.length);
    return wrong.join();
  };
  t.match(wrongs([join], [sighting('a', 'join', 11 * ms)]), /not seen by b/);
  const views = [sighting('a', 'join', 11 * ms), sighting('b', 'join', 11 * ms, { view: 8 })];
  t.match(wrongs([join], views), /views 7, 8/);
  t.equal(wrongs([join], views, false), '', 'who reads the table now and then sees the view it is of');
  const leave = (reason: string) =>
    ['a', 'b'].map((observer) => sighting(observer, 'leave', 21 * ms, { reason }));
  t.equal(wrongs([crash], leave('crashed')), '');
  t.match(wrongs([crash], leave('closed')), /reason closed/);
  t.match(wrongs([{ ...crash, kind: 'leave' }], leave('crashed')), /reason crashed/);
});

t.test('units: as many as asked for, in an order that its seed repeats', async (t) => {
  const counts = { pacedLeaves: 1, pacedCrashes: 2, leaves: 3, crashes: 4 };
  const units = unitsOf(counts, randomSource(3));
  t.equal(units.length, 10);
  t.equal(units.filter(({ kind, paced }) => kind === 'crash' && paced).length, 2);
  t.strictSame(unitsOf(counts, randomSource(3)), units);
  t.not(JSON.stringify(unitsOf(counts, randomSource(4))), JSON.stringify(units));
});

t.test('members are spread over processes evenly, one each while there are few', async (t) => {
  t.strictSame(spread(1, 'w'), [['w0']]);
  t.strictSame(
    spread(7, 'w').map((names) => names.length),
    [1, 1, 1, 1, 1, 1, 1],
  );
  const many = spread(63, 'w');
  t.equal(many.length, 16);
  t.ok(many.every((names) => names.length === 4 || names.length === 3));
  t.equal(new Set(many.flat()).size, 63);
});

t.test('gaps: between replies, before the first and after the last', async (t) => {
  const gaps = new Gaps();
  t.throws(() => gaps.longest(0, 10 * ms), /no reply/);
  for (const at of [10, 11, 15, 16]) gaps.add(at * ms);
  t.strictSame(gaps.longest(9 * ms, 17 * ms), { ms: 4, replies: 4 });
  t.strictSame(gaps.longest(12 * ms, 17 * ms), { ms: 3, replies: 2 }, 'counted from when it was asked for');
  t.equal(gaps.longest(9 * ms, 36 * ms).ms, 20);
  t.throws(() => gaps.longest(16 * ms, 17 * ms), /no reply/);
});

t.test('threads as the kernel shows them', async (t) => {
  const status = 'Name:\tnode\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t70\n';
  const thread = parseThread(status, '1500000 20 3\n');
  t.strictSame(thread, { name: 'node', switches: 5, cpuNs: 1_500_000 });
  t.throws(() => parseThread('Name:\tnode\n', '1 2 3\n'));
  const before = new Map([['1/1', thread]]);
  const after = new Map([
    ['1/1', { ...thread, switches: 8, cpuNs: 2_500_000 }],
    ['1/2', { name: 'new', switches: 2, cpuNs: 10 }],
  ]);
  t.strictSame(difference(before, after), {
    switches: 5,
    cpuNs: 1_000_010,
    awake: { '1/1 node': 3, '1/2 new': 2 },
  });
  t.strictSame(difference(before, before), { switches: 0, cpuNs: 0, awake: {} });
});

t.test('a row with its tail, medians over the rounds', async (t) => {
  const figure = { id: 'x', metric: 'm', unit: 'ms', baselineName: 'poll-1s' };
  const row = spreadRow({
    ...figure,
    ours: [[1, 2, 9], [3]],
    baseline: [[100], [], [500, 700]],
    goals: [{ text: 'g', met: ({ ratio }) => ratio < 0.01 }],
  });
  t.match(row, {
    better: 'lower',
    ours: 2.5,
    p99: 9,
    worst: 9,
    baseline: 350,
    baselineWorst: 700,
    ratio: 2.5 / 350,
    samples: { ours: [2, 3], baseline: [100, 600] },
    target: [{ text: 'g', met: true }],
  });
  t.equal((spreadRow({ ...figure, ours: [[0]], baseline: [[0]] }) as { ratio: number }).ratio, 1);
  t.match(spreadRow({ ...figure, ours: [[1]], baseline: [[0]] }), /baseline is 0/);
  t.match(spreadRow({ ...figure, ours: [[]], baseline: [[1]] }), /no sample of ours/);
  t.match(spreadRow({ ...figure, ours: [[1]], baseline: [] }), /no sample of the baseline/);
});

t.test('figures of detection: warm and cold joins apart, goals on the tail of many', async (t) => {
  const delay = (cause: Cause, list: number[]) => ({ cause, view: 1, ms: list, spreadMs: 1, serverMs: 1 });
  const round = (members: number) => ({
    round: 1,
    members,
    delays: [delay(join, [1, 2]), delay({ ...join, cold: true }, [30]), delay(crash, [3])],
    polled: { 'poll-1s': [delay(join, [500])], 'poll-100ms': [delay(join, [50])] },
    wrong: [],
    serverUs: members * 10,
    others: 0,
  });
  const rows = detectFigures([round(2), round(64)]).map(spreadRow);
  const made = rows.filter((row) => typeof row !== 'string');
  t.strictSame(
    made.map(({ id, baselineName }) => `${id} ${baselineName}`),
    ['2', '64'].flatMap((n) => [
      `detect-join-${n} poll-1s`,
      `detect-join-${n} poll-100ms`,
      `detect-join-${n}-cold join by a process that joined before`,
    ]),
    'nobody polled while a member crashed',
  );
  t.strictSame(
    made.map(({ target }) => target?.length ?? 0),
    [1, 0, 0, 2, 0, 0],
  );
  t.ok(made[3]!.target!.every(({ met }) => met));
  const costs = costFigures([round(2), round(64)]).map(spreadRow);
  t.match(costs, [
    { id: 'change-cost-2', ratio: 1 },
    { id: 'change-cost-64', ratio: 1, baselineName: 'linear-from-2', target: [{ met: true }] },
  ]);
});

t.test('figures of idle members and of restarts', async (t) => {
  const idle = (name: string, wakeups: number) => ({
    ...{ name, round: 1, members: 64, seconds: 10, wakeups, cpuMs: wakeups / 10, awake: {}, server: 1 },
  });
  const rows = idleFigures([idle('ours', 0), idle('poll-1s', 64), idle('poll-100ms', 640)]).map(spreadRow);
  t.match(rows, [
    { id: 'idle-wakeups', ours: 0, ratio: 0, target: [{ met: true }] },
    { id: 'idle-wakeups', baselineName: 'poll-100ms' },
    { id: 'idle-cpu', ours: 0 },
    { id: 'idle-cpu' },
  ]);
  const counts = { round: 1, replies: 9, answers: 9 };
  const restart = restartFigures([
    { event: 'kill', dataMs: 2.2, membershipMs: 90, ...counts },
    { event: 'replace', dataMs: 9, membershipMs: 300, ...counts },
    { event: 'no-restart', dataMs: 2, membershipMs: 1, ...counts },
    { event: 'unrelated-start', dataMs: 2, membershipMs: 1, ...counts },
  ]).map(spreadRow);
  const met = restart.map((row) =>
    typeof row === 'string' ? row : `${row.id} ${row.baselineName} ${row.target?.[0]?.met}`,
  );
  t.strictSame(met, [
    'restart-gap-ms no-restart true',
    'restart-gap-ms unrelated-start true',
    'restart-gap-ms-membership-kill no-restart true',
    'restart-gap-ms-membership-kill unrelated-start undefined',
    'restart-gap-ms-data-replace no-restart false',
    'restart-gap-ms-data-replace unrelated-start false',
    'restart-gap-ms-membership-replace no-restart false',
    'restart-gap-ms-membership-replace unrelated-start undefined',
  ]);
});

t.test('what members in VMs store', async (t) => {
  const ack = (slot: number, word: number, value: number, at: number) => ({ slot, word, value, at: at * ms });
  const { event, polls, mark } = ackWords;
  const acks = [ack(3, mark, 1, 9), ack(1, event, 6, 10), ack(1, event, 7, 11), ack(2, event, 8, 12)];
  t.strictSame(firstSeen(acks, [1, 2, 3], event, 7), [11 * ms, 12 * ms, null]);
  t.equal(markSeen(acks, 3), 9 * ms);
  t.equal(markSeen(acks, 1), null);
  const told = [{ type: 'leave', name: 'm', view: 7, reason: 'crashed' }];
  const all = [...acks, ...polls.flatMap((word) => [ack(1, word, 7, 500), ack(2, word, 7, 600)])];
  const look = (kind: 'leave' | 'crash', slots: number[], paced: boolean) =>
    evaluate({ acks: all, told }, kind, 'm', 9 * ms, slots, paced);
  t.strictSame(look('crash', [1, 2], true), {
    view: 7,
    ms: [2, 3],
    polled: { 'poll-1s': [491, 591], 'poll-100ms': [491, 591] },
  });
  t.strictSame(look('crash', [1, 2], false), { view: 7, ms: [2, 3], polled: {} });
  t.match(look('leave', [1, 2], false), /reason crashed/);
  t.match(look('crash', [1, 2, 3], true), /not seen in all VMs by event, poll-1s, poll-100ms/);
  t.equal(evaluate({ acks: all, told }, 'crash', 'other', 9 * ms, [1], false), 'no event');
});
