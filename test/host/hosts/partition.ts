/** Three servers of a list in network namespaces of their own, of which one is cut off. */
import { execFileSync } from 'node:child_process';
import t, { type Test } from 'tap';
import { Bridge } from '../../../qemu/network.ts';
import { removeSpace } from '../../../src/dsm/index.ts';
import { until } from '../../support/protocol/until.ts';
import { withoutOpenssl } from './support/certificates.ts';
import { Fleet, opened } from './support/fleet.ts';
import { ended, Load, lastStore, load, outcome, PAGE, store } from './support/scenes.ts';

const SIZE = 64 * PAGE;
const LEASE = 15;
const [A, B, C] = [0, 1, 2];

function withoutNetworks(): string | null {
  if (process.getuid?.() !== 0) return 'network namespaces are for root';
  try {
    execFileSync('ip', ['netns', 'list'], { stdio: 'pipe' });
    return null;
  } catch {
    return 'network namespaces cannot be had here';
  }
}

const skip = withoutOpenssl() ?? withoutNetworks() ?? false;

/** A cable from the first to the second, and one from there to the third. */
async function networks(t: Test): Promise<Bridge[]> {
  const bridges: Bridge[] = [];
  t.teardown(async () => {
    for (const bridge of bridges) await bridge.close();
  });
  for (const host of [1, 2, 3]) bridges.push(await Bridge.create(`10.77.0.${host}/24`));
  await bridges[0]!.join(bridges[1]!);
  await bridges[1]!.join(bridges[2]!);
  return bridges;
}

t.test(
  'a host that is cut off has nothing before others go on without it',
  { skip, timeout: 170_000 },
  async (t) => {
    const bridges = await networks(t);
    const cable = (state: 'up' | 'down'): void => {
      execFileSync('ip', ['-netns', bridges[C]!.namespace, 'link', 'set', 'to-first', state]);
    };
    const fleet = new Fleet(t, 3, {
      lease: LEASE,
      networks: bridges.map(({ namespace }, i) => ({ namespace, address: `10.77.0.${i + 1}` })),
    });
    await fleet.start(A, B, C);
    const majority = await fleet.member(A);
    const [a, b] = [await opened(majority, 'grid', SIZE), await opened(await fleet.member(B), 'grid', SIZE)];
    const cutOff = await fleet.member(C);
    const c = await opened(cutOff, 'grid', SIZE);
    for (let page = 10; page < 20; page++) await store(a, page, 100 + page);
    for (let page = 10; page < 15; page++) t.equal(await load(c, page), 100 + page);
    const loads = [
      new Load(t, a, 30, 1),
      new Load(t, b, 31, 1),
      new Load(t, a, 32, 1),
      new Load(t, b, 32, 2),
    ];
    const other = await opened(cutOff, 'other', SIZE);
    await store(other, 0, 1);
    await opened(majority, 'other', SIZE);
    const storer = await fleet.storer(C, 'grid', SIZE);

    cable('down');
    const [here, there] = await Promise.all([outcome(b, 0), ended(storer.child)]);
    t.equal(there, 'SIGSEGV', 'on the side of the minority a page ends with the lease');
    t.equal(here.is, 'ERR_IVSHMEM_PAGES_LOST');
    t.ok(lastStore(storer.file) < here.at, 'nobody stores there when the others hear that it is lost');
    // Not to be touched there: that would end this process, too.
    const asked = (): Promise<boolean> =>
      c.acquire(10 * PAGE, 1, 'read').then(
        (pin) => !pin.release(),
        (error: NodeJS.ErrnoException) => error.code === 'ERR_IVSHMEM_PAGES_FENCED',
      );
    await until('who asks there is told', asked);
    const rounds = loads.map((one) => one.rounds);
    await until('the majority goes on', () => loads.every((one, i) => one.rounds > rounds[i]! + 10), 120);
    t.equal(await removeSpace(majority, 'other', { force: true }), true);

    cable('up');
    await Promise.all([c.close(), other.close()]);
    const again = await opened(cutOff, 'grid', SIZE);
    for (let page = 10; page < 20; page++) t.equal(await load(again, page), 100 + page);
    await store(again, 12, 7);
    t.equal(await load(a, 12), 7, 'it takes part again');
    const next = await opened(cutOff, 'other', SIZE);
    t.equal(await load(next, 0), 0, 'a space that was removed meanwhile is another one');
    for (const one of loads) await one.stop();
    t.same([...new Set(loads.flatMap(({ errors }) => errors))], [], 'the majority lost nothing of its own');
    await load(b, 32);
    const words = new Uint32Array(b.buffer, 32 * PAGE);
    t.same([words[1], words[2]], [loads[2]!.rounds, loads[3]!.rounds]);
  },
);
