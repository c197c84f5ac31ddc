/** Spaces whose pages two hosts keep, of servers of a list that are processes and are killed under load. */
import t from 'tap';
import { openSpace, type SpreadSpace } from '../../../src/dsm/index.ts';
import { until } from '../../support/protocol/until.ts';
import { withoutOpenssl } from './support/certificates.ts';
import { Fleet, opened } from './support/fleet.ts';
import { load, PAGE, store } from './support/scenes.ts';
import { status, together } from './support/status.ts';
import { Writer } from './support/writer.ts';

const PAGES = 64;
const SIZE = PAGES * PAGE;
const skip = withoutOpenssl() ?? false;
const [A, B, C] = [0, 1, 2];
const twice = { size: SIZE, spread: true, consistency: 'release', replicas: 2 } as const;

t.test('what may be asked for, and what is said of it', { skip, timeout: 170_000 }, async (t) => {
  const fleet = new Fleet(t, 2, { lease: 30 });
  await fleet.start(A, B);
  const [a, b] = [await fleet.member(A), await fleet.member(B)];
  await together(fleet.sockets[A]!, 2);
  const mine = await opened(a, 'grid', SIZE, 'release', 2);
  t.same([mine.replicas, mine.copies], [2, 2]);
  const three = await opened(b, 'more', SIZE, 'release', 3);
  t.same([three.replicas, three.copies], [3, 2], 'as many as there are hosts');
  await store(three, 1, 4);
  await three.flush();
  const plain = await opened(b, 'plain', SIZE, 'release');
  t.same([plain.replicas, plain.copies], [1, 1]);

  const differs = (found: string): { code: string; message: RegExp } => ({
    code: 'ERR_IVSHMEM_SPREAD_DIFFERS',
    message: new RegExp(found),
  });
  for (const region of [a, b]) {
    await t.rejects(openSpace(region, 'grid', { ...twice, replicas: 3 }), differs('its replicas are 2'));
    await t.rejects(openSpace(region, 'plain', twice), differs('its replicas are 1'));
  }
  const options = { code: 'ERR_IVSHMEM_SPACE_OPTIONS' };
  await t.rejects(openSpace(a, 'x', { ...twice, consistency: 'sequential' }), options);
  await t.rejects(openSpace(a, 'x', { size: SIZE, replicas: 2 }), options);
  for (const replicas of [0, 1.5, 65]) await t.rejects(openSpace(a, 'x', { ...twice, replicas }), options);

  const output = await status(fleet.sockets[B]!);
  t.match(
    output,
    /space grid: 64 pages of 4 KiB, release consistency, 2 replicas\nHOST +HOME +KEPT +TOO FEW /,
  );
  t.match(output, /\nb +32 +64 +0 .*\na +32 +64 +0 /);
  t.match(output, /space more: .*, 3 replicas: fewer copies than asked for, 2\nHOST .*\nb +32 +64 +32 /);
  t.match(output, /space plain: 64 pages of 4 KiB, release consistency\nHOST +HOME +WRITABLE/);
  for (const space of [mine, three, plain]) await space.close();

  // Each gives a half of 16 MiB at most: what one host holds counts on it, whoever else holds it.
  const large = { ...twice, size: 10 << 20 };
  await t.rejects(openSpace(a, 'large', large), { code: 'ERR_IVSHMEM_REFUSED', message: /have room/ });
  const once = await openSpace(a, 'large', { ...large, replicas: 1 });
  await once.close();
});

/** What each writer has in each of the pages, as this host sees it after a refresh. */
async function words(space: SpreadSpace, pages: readonly number[]): Promise<number[][]> {
  await space.refresh();
  const found: number[][] = [];
  for (const page of pages) {
    using _ = await space.acquire(page * PAGE, PAGE, 'read');
    found.push([...new Uint32Array(space.buffer, page * PAGE, 4)].slice(1));
  }
  return found;
}

t.test('kill -9 of one home after the other, under load', { skip, timeout: 300_000 }, async (t) => {
  const fleet = new Fleet(t, 3, { lease: 15 });
  await fleet.start(A, B, C);
  await together(fleet.sockets[A]!, 3);
  const regions = await Promise.all([A, B, C].map((host) => fleet.member(host)));
  const [a, b, c] = (await Promise.all(
    regions.map((region) => opened(region, 'grid', SIZE, 'release', 2)),
  )) as [SpreadSpace, SpreadSpace, SpreadSpace];
  t.same(
    [a, b, c].map(({ copies }) => copies),
    [2, 2, 2],
  );
  for (let page = 0; page < PAGES; page++) await store([a, b, c][page % 3]!, page, 1000 + page);
  await Promise.all([a, b, c].map((space) => space.flush()));

  // All write to pages of all homes, each to a word of its own.
  const pages = [30, 31, 32];
  const [ofA, ofB, ofC] = [
    new Writer(t, a, pages, 1),
    new Writer(t, b, pages, 2),
    new Writer(t, c, pages, 3),
  ];
  const goOn = async (what: string, ...writers: readonly Writer[]): Promise<void> => {
    const before = writers.map(({ flushed }) => flushed);
    const on = (): boolean =>
      writers.some(({ errors }) => errors.length > 0) ||
      writers.every(({ flushed }, i) => flushed > before[i]! + 10);
    await until(what, on, 120);
    t.same(
      writers.flatMap(({ errors }) => errors),
      [],
      `${what}, and nobody is told anything`,
    );
  };
  await goOn('all go on', ofA, ofB, ofC);
  const kept = async (space: SpreadSpace, ...writers: readonly Writer[]): Promise<void> => {
    const least = writers.map(({ flushed }) => flushed);
    for (const found of await words(space, pages)) {
      for (const [i, writer] of writers.entries()) {
        const word = found[[ofA, ofB, ofC].indexOf(writer)]!;
        t.ok(word >= least[i]! && word <= writer.rounds + 1, 'what was flushed is there', { found, least });
      }
    }
  };
  const rest = async (space: SpreadSpace): Promise<void> => {
    const others = Array.from({ length: PAGES }, (_, page) => page).filter((page) => !pages.includes(page));
    for (const page of others) t.equal(await load(space, page), 1000 + page, `page ${page}`);
  };

  await fleet.end(A, 'SIGKILL');
  await goOn('the others go on without a', ofB, ofC);
  await ofA.stop();
  await kept(b, ofA, ofB, ofC);
  await kept(c, ofA, ofB, ofC);
  await until('there are two of each again', () => b.copies === 2 && c.copies === 2, 60);
  t.match(await status(fleet.sockets[B]!), /, 2 replicas\n/);

  // A list needs most of its hosts to go on without another.
  await fleet.start(A);
  const again = await opened(await fleet.member(A), 'grid', SIZE, 'release', 2);
  await goOn('they go on with a', ofB, ofC);
  await kept(again, ofA, ofB, ofC);
  await fleet.end(B, 'SIGKILL');
  await goOn('c goes on without b', ofC);
  await ofB.stop();
  for (const space of [again, c]) await kept(space, ofA, ofB, ofC);
  await until('there are two of each again', () => again.copies === 2 && c.copies === 2, 60);
  await ofC.stop();
  for (const space of [again, c]) await rest(space);
  t.same(
    [ofA, ofB, ofC].map(({ wrong }) => wrong),
    [0, 0, 0],
    'nothing older came back',
  );
});
