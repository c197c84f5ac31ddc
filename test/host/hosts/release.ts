/** Spaces with release consistency, of servers of a list that are processes: what they agree on, and what is left when one is killed. */
import t from 'tap';
import { openSpace, type SpreadSpace } from '../../../src/dsm/index.ts';
import { until } from '../../support/protocol/until.ts';
import { withoutOpenssl } from './support/certificates.ts';
import { Fleet, opened } from './support/fleet.ts';
import { load, outcome, PAGE, store } from './support/scenes.ts';
import { status, together } from './support/status.ts';
import { Writer } from './support/writer.ts';

const SIZE = 64 * PAGE;
const skip = withoutOpenssl() ?? false;
const LIMIT = { skip, timeout: 170_000 };
const [A, B, C] = [0, 1, 2];

t.test('all hosts know of a space which consistency it has', LIMIT, async (t) => {
  const fleet = new Fleet(t, 2, { lease: 30 });
  await fleet.start(A, B);
  const [a, b] = [await fleet.member(A), await fleet.member(B)];
  const mine = await opened(a, 'grid', SIZE, 'release');
  t.equal(mine.consistency, 'release');
  await opened(b, 'other', SIZE);
  const differs = (consistency: string): { code: string; message: RegExp } => ({
    code: 'ERR_IVSHMEM_SPREAD_DIFFERS',
    message: new RegExp(`its consistency is '${consistency}'`),
  });
  for (const region of [a, b]) {
    await t.rejects(openSpace(region, 'grid', { size: SIZE, spread: true }), differs('release'));
    const release = { size: SIZE, spread: true, consistency: 'release' } as const;
    await t.rejects(openSpace(region, 'other', release), differs('sequential'));
  }
  const theirs = await openSpace(b, 'grid', { spread: true, consistency: 'release' });
  t.equal(theirs.consistency, 'release', 'it is not said by who opens it, but by the space');

  const options = 'ERR_IVSHMEM_SPACE_OPTIONS';
  const wrong = 'weak' as 'release';
  await t.rejects(openSpace(a, 'x', { size: 1, spread: true, consistency: wrong }), { code: options });
  await t.rejects(openSpace(a, 'x', { size: 1, consistency: 'release' }), { code: options });

  const output = await status(fleet.sockets[B]!);
  t.match(output, /space grid: 64 pages of 4 KiB, release consistency/);
  t.match(output, /space other: 64 pages of 4 KiB, sequential consistency/);
  await mine.close();
  await theirs.close();
});

t.test('kill -9 of a server while all hosts store to the same pages', LIMIT, async (t) => {
  const fleet = new Fleet(t, 3, { lease: 15 });
  await fleet.start(A, B, C);
  await together(fleet.sockets[A]!, 3);
  const regions = await Promise.all([A, B, C].map((host) => fleet.member(host)));
  const [a, b, c] = (await Promise.all(regions.map((region) => opened(region, 'grid', SIZE, 'release')))) as [
    SpreadSpace,
    SpreadSpace,
    SpreadSpace,
  ];
  // Page p has its home on host p mod 3.
  const [ofA, ofB, ofC] = [30, 31, 32];
  await store(a, ofC, 5);
  await store(b, ofA, 6);
  await Promise.all([a.flush(), b.flush()]);
  // A flush is of all that its host has.
  await store(a, ofC, 7);
  const [one, two] = [new Writer(t, b, [ofB, ofC], 1), new Writer(t, c, [ofB, ofC], 2)];
  const third = new Writer(t, a, [ofB], 3);
  const writers = [one, two, third];
  const begun = (): boolean =>
    writers.some(({ errors }) => errors.length > 0) || writers.every(({ rounds }) => rounds > 10);
  await until('all go on', begun, 60);
  t.same(
    writers.flatMap(({ errors }) => errors),
    [],
  );
  // Nobody on that host releases it but the test.
  await one.stop();
  await store(b, ofA, 8);
  await fleet.end(A, 'SIGKILL');
  const lost = { code: 'ERR_IVSHMEM_PAGES_LOST' };
  await t.rejects(b.flush(), lost, 'who had stored to such a page without a flush is told');
  await t.resolves(b.flush(), 'once');
  const again = new Writer(t, b, [ofB, ofC], 1, one);
  t.equal((await outcome(c, ofA)).is, 'ERR_IVSHMEM_PAGES_LOST', 'pages of its home are gone');
  const left = [again, two];
  const rounds = left.map((writer) => writer.rounds);
  await until('the others go on', () => left.every((writer, i) => writer.rounds > rounds[i]! + 10), 120);
  for (const writer of [...left, third]) await writer.stop();
  const wrong = [one, ...left].map((writer) => writer.wrong);
  t.same(wrong, [0, 0, 0], 'nothing was lost, and nothing older came back');
  const errors = left.flatMap((writer) => writer.errors);
  t.same(errors, [], 'and nobody else is told anything');
  await Promise.all([b.flush(), c.flush()]);
  await Promise.all([b.refresh(), c.refresh()]);
  for (const space of [b, c]) {
    t.equal(await load(space, ofC), 7, 'what the dead host had released');
    for (const page of [ofB, ofC]) {
      using _ = await space.acquire(page * PAGE, PAGE, 'read');
      const words = new Uint32Array(space.buffer, page * PAGE, 3);
      t.same([words[1], words[2]], [again.rounds, two.rounds]);
    }
  }
});
