/** Two hosts with two VMs each and one space that neither has room for. One of the hosts loses its power under load. */
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { withoutOpenssl } from '../host/hosts/support/certificates.ts';
import { withoutEtcd } from '../host/hosts/support/etcd.ts';
import { until } from '../support/protocol/until.ts';
import { noTun } from '../tun/support/namespaces.ts';
import { Fleet } from './support/fleet.ts';
import type { SpreadEnd } from './support/spread-end.ts';
import { SpreadFleet } from './support/spread-fleet.ts';

t.setTimeout(900_000);
const skip = noTun() || withoutOpenssl() || withoutEtcd() || false;
/** Half of a region is for spread spaces at most. */
const REGION = '16M';
const BYTES = 12 << 20;
/** Seconds. Long: nobody's is to end because this machine is busy. */
const LEASE = 20;
const PAGES = BYTES / 4096;
const QUARTER = PAGES / 4;
/**
 * Parts of 64 pages: written last on the first host; on the second; on the first, and then read on the second; counted in. A page's home is
 * its number modulo 2. It is kept there; other pages may be sent home at any time, when a host needs room.
 */
const PART = 64;
const [HERE, THERE, BOTH, LOAD] = [0, PART, 2 * PART, 3 * PART];
const homes = (first: number, home: number): number[] =>
  Array.from({ length: PART / 2 }, (_, i) => first + 2 * i + home);

t.test('two hosts with two VMs each', { skip }, async (t) => {
  const start = performance.now();
  /** For whoever looks where the time goes. */
  const stage = (name: string): void =>
    t.comment(`${Math.round((performance.now() - start) / 1000)} s: ${name}`);
  const fleet = await SpreadFleet.create(t, ['a', 'b'], { size: REGION, lease: LEASE });
  const [a, b] = fleet.hosts as [(typeof fleet.hosts)[0], (typeof fleet.hosts)[0]];
  stage('servers');
  const ends = await Fleet.together(
    () => fleet.vm(a, 'a-vfio', 'vfio-pci'),
    () => fleet.vm(b, 'b-vfio', 'vfio-pci'),
    () => fleet.vm(a, 'a-uio', 'uio_pci_generic'),
    () => fleet.vm(b, 'b-uio', 'uio_pci_generic'),
  );
  const [first, far, second, farther] = ends as [SpreadEnd, SpreadEnd, SpreadEnd, SpreadEnd];
  const each = <T>(work: (end: SpreadEnd, i: number) => Promise<T>): Promise<T[]> =>
    Promise.all(ends.map(work));
  stage('VMs');

  await t.test('a space larger than the share of a host', async (t) => {
    const opened = await each((end) => end.open('work', BYTES));
    t.equal(opened.filter(({ created }) => created).length, 1, 'one of them made it');
    t.strictSame(new Set(opened.map(({ pageBytes }) => pageBytes)), new Set([BYTES / PAGES]));
    await each((end, i) => end.order('fill', i * QUARTER, QUARTER, i));
    stage('written');
    for (const end of [first, far])
      await t.rejects(
        end.order('acquire', 0, PAGES),
        { code: 'ERR_IVSHMEM_SPREAD_RANGE', message: /do not fit into/ },
        'no host has room for all of it',
      );
    await each(async (end, i) => {
      // Each begins with what another one wrote.
      for (let turn = 1; turn <= 4; turn++) {
        const quarter = (i + turn) % 4;
        const { wrong } = await end.order('verify', quarter * QUARTER, QUARTER, quarter);
        t.equal(wrong, 0, `${end.name}: every byte of quarter ${quarter}`);
      }
    });
    stage('verified');
  });

  await t.test('a host loses its power under load', async (t) => {
    await Promise.all([first.order('fill', HERE, PART, 9), far.order('fill', THERE, PART, 9)]);
    await first.order('fill', BOTH, PART, 9);
    t.equal((await farther.order('verify', BOTH, PART, 9)).wrong, 0);
    await second.order('clear', LOAD, PART);
    await each((end, i) => end.order('load', LOAD, PART, i));
    const looks = () => each((end) => end.order('look'));
    let counted = await looks();
    await until(
      'everybody counts',
      async () => {
        counted = await looks();
        if (counted.every(({ rounds, faults }) => rounds >= 3 * PART || faults.length > 0)) return true;
        // Answers take their time from the counting.
        await delay(500);
        return false;
      },
      240,
    );
    await fleet.kill(b);
    stage('killed');

    const judge = async (end: SpreadEnd, ...words: [first: number, count: number, seed: number]) => {
      const found = await end.order('judge', ...words);
      t.strictSame(found.wrong, [], `${end.name}: each page is what it was, or lost`);
      return found;
    };
    const gone = homes(THERE, 1);
    await until(
      'what only the other host had is lost',
      async () => {
        const found = await judge(first, THERE, PART, 9).catch((error: NodeJS.ErrnoException) => {
          // Until it is decided that the host is gone nobody knows what becomes of its pages.
          if (error.code !== 'ERR_IVSHMEM_PAGES_SILENT') throw error;
          return null;
        });
        return found !== null && gone.every((page) => found.lost.includes(page));
      },
      240,
    );
    stage('told');
    for (const end of [first, second]) {
      for (const part of [HERE, BOTH]) {
        const { lost } = await judge(end, part, PART, 9);
        t.strictSame(
          homes(part, 0).filter((page) => lost.includes(page)),
          [],
          `${end.name}: what has its home here is here`,
        );
      }
    }
    await Promise.all(
      [first, second].map(async (end, half) => {
        // Everybody had read all of it: the half with its home here is here.
        for (const quarter of half === 0 ? [0, 1] : [2, 3]) {
          const from = quarter * QUARTER + (quarter === 0 ? 4 * PART : 0);
          const { lost } = await judge(end, from, (quarter + 1) * QUARTER - from, quarter);
          t.ok(
            lost.every((page) => page % 2 === 1),
            `${end.name}: quarter ${quarter}, ${lost.length} pages are lost`,
          );
        }
      }),
    );
    stage('judged');

    const reports = await Promise.all([first, second].map((end) => end.order('stop')));
    for (const { faults } of reports) t.strictSame(faults, [], 'they went on');
    const { tally } = await second.order('tally', LOAD, PART);
    const strange: string[] = [];
    for (const [i, counts] of tally.entries()) {
      if (counts === null) continue;
      const { all, own } = counts;
      // Whoever died may have counted since it was asked.
      const dead = [own[1]! - counted[1]!.added[i]!, own[3]! - counted[3]!.added[i]!];
      const living = [own[0]! - reports[0]!.added[i]!, own[2]! - reports[1]!.added[i]!];
      // Each of them may have been between its two stores.
      const half = own.reduce((sum, count) => sum + count, 0) - all;
      if (living.some((more) => more !== 0) || dead.some((more) => more < 0) || half < 0 || half > 2)
        strange.push(`page ${i}: ${all} of ${own}; more than known: ${living}, ${dead}`);
    }
    t.strictSame(strange, [], 'nothing of what was counted is missing in a page that lives on');
    const alive = tally.filter((counts) => counts !== null).length;
    t.comment(`${alive} of ${PART} pages that all four wrote live on`);
    const [before, since] = [counted[0]!.rounds, reports[0]!.rounds];
    t.comment(`${before} rounds before, ${since - before} since`);

    second.tell('touch', gone[0]!);
    const { status, signal } = await second.ended;
    t.equal(signal ?? status, 'SIGSEGV', 'a plain load of what is lost does not load zeros');
    stage('counted');
  });

  let back!: SpreadEnd;
  await t.test('a host comes back, with none of its pages', async (t) => {
    await fleet.serveAgain(b);
    back = await fleet.member(b, 'back');
    t.equal((await back.open('work', BYTES)).created, false);
    const pages = homes(HERE, 0).slice(0, 8);
    for (const page of pages) {
      const there = await back.order('verify', page, 1, 9);
      await back.order('fill', page, 1, 10);
      const here = await first.order('verify', page, 1, 10);
      t.strictSame([there.wrong, here.wrong], [0, 0], `page ${page}, there and back`);
    }
    const [lost] = homes(THERE, 1);
    t.strictSame((await back.order('judge', lost!, 1, 9)).lost, [lost], 'what is lost stays so');
    stage('back');
  });

  await t.test('etcd is gone for longer than a lease, and comes back', async (t) => {
    await fleet.etcd.kill();
    const killed = performance.now();
    let round = 0;
    for (; performance.now() - killed < 1.25 * LEASE * 1000; round++) {
      const [one, other] = round % 2 === 0 ? [first, back] : [back, first];
      await one.order('fill', HERE, 1, round);
      const { wrong } = await other.order('verify', HERE, 1, round);
      if (wrong !== 0) t.fail(`round ${round}: ${wrong} bytes are wrong`);
      await delay(200);
    }
    for (const { name, server } of fleet.hosts) t.equal(server.state, 'serving', `${name} has gone on`);
    await fleet.etcd.start();
    // A host that goes and comes is something to decide.
    await b.server.kill('SIGTERM');
    await fleet.serveAgain(b);
    const again = await fleet.member(b, 'again');
    await again.open('work', BYTES);
    t.equal((await again.order('verify', HERE, 1, round - 1)).wrong, 0, 'what moved meanwhile is there');
    stage('etcd is back');
  });

  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
});
