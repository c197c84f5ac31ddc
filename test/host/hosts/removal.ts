import t, { type Test } from 'tap';
import { openSpace, removeSpace, type SpreadSpace, spaces } from '../../../src/dsm/index.ts';
import type { Region } from '../../../src/index.ts';
import { until } from '../../support/protocol/until.ts';
import { testFolder } from '../../support/test-folder.ts';
import { found, type TwoHosts, twoHosts } from '../../support/two-hosts.ts';
import { withoutOpenssl } from './support/certificates.ts';

const skip = withoutOpenssl() ?? false;
const REVOKED = { code: 'ERR_IVSHMEM_PAGES_REVOKED' };
const SIZE = 1 << 20;

async function scene(t: Test): Promise<TwoHosts & { readonly a: Region; readonly b: Region }> {
  const hosts = await twoHosts(testFolder(t));
  t.teardown(() => hosts.close());
  const [a, b] = [await hosts.member(0, 'a'), await hosts.member(1, 'b')];
  await found(a, b);
  return { ...hosts, a, b };
}

const open = (region: Region, name: string, more = {}): Promise<SpreadSpace> =>
  openSpace(region, name, { size: SIZE, spread: true, ...more });

async function store(space: SpreadSpace, value: number): Promise<void> {
  const pin = await space.acquire(0, SIZE, 'write');
  new Uint8Array(space.buffer).fill(value);
  pin.release();
}

async function load(space: SpreadSpace): Promise<number> {
  const pin = await space.acquire(0, SIZE, 'read');
  const values = new Set(new Uint8Array(space.buffer));
  pin.release();
  return values.size === 1 ? [...values][0]! : Number.NaN;
}

const listed = (region: Region, name: string): boolean => spaces(region).some((space) => space.name === name);

t.test('a spread space goes with its last holder on any host, as others do', { skip }, async (t) => {
  const { a, b } = await scene(t);
  const mine = await open(a, 'kept', { persistent: true });
  await store(mine, 7);
  const theirs = await open(b, 'kept');
  t.equal(await removeSpace(b, 'kept'), false, 'it is held');
  await mine.close();
  t.equal(await load(theirs), 7, 'who has it open keeps it');
  await theirs.close();
  await until('it is gone on both', () => !listed(a, 'kept') && !listed(b, 'kept'), 60);
  const next = await open(a, 'kept', { persistent: true });
  t.equal(next.created, true);
  await next.close();
  // Its host may not have told the others yet that nobody holds it there.
  await removeSpace(b, 'kept');
  await until('it is gone from both', () => !listed(a, 'kept') && !listed(b, 'kept'), 60);
  await t.rejects(removeSpace(a, 'kept'), { code: 'ERR_IVSHMEM_SPACE_MISSING' });
});

t.test('by force it is taken from everybody, with its locks', { skip }, async (t) => {
  const { a, b } = await scene(t);
  const [mine, theirs] = [await open(a, 'grid', { locks: true }), await open(b, 'grid', { locks: true })];
  await store(mine, 1);
  t.equal(await load(theirs), 1);
  const held = await mine.mutex('m').lock();
  const waits = theirs.mutex('m').lock();
  waits.catch(() => {});
  t.equal(await removeSpace(b, 'grid', { force: true }), true);
  for (const space of [mine, theirs]) {
    await until('it is revoked', () =>
      space.acquire(0, 1, 'read').then(
        (pin) => !pin.release(),
        (error: Error) => t.match(error, REVOKED),
      ),
    );
    await t.rejects(space.acquire(0, SIZE, 'write'), REVOKED);
  }
  await t.rejects(waits, { code: 'ERR_IVSHMEM_SYNC_GONE' });
  void held;
  await until('its memory is given back', () =>
    [a, b].every((region) => !listed(region, 'grid') && !listed(region, 'grid (locks)')),
  );
  // While the handles of the old one are still there.
  const [next, others] = [await open(a, 'grid', { locks: true }), await open(b, 'grid', { locks: true })];
  t.ok(next.created && !others.created);
  t.equal(await load(others), 0, 'what was in the old one is not in the new one');
  await store(others, 2);
  t.equal(await load(next), 2);
  await t.rejects(mine.acquire(0, 1, 'read'), REVOKED);
  await mine.close();
  await theirs.close();
  await next.mutex('m').lock();
  t.equal(await load(next), 2, 'closing the old one lets go of nothing else');
});

t.test('what cannot be removed', { skip }, async (t) => {
  const { a } = await scene(t);
  await openSpace(a, 'own', { size: SIZE });
  await t.rejects(removeSpace(a, 'own', { force: true }), { code: 'ERR_IVSHMEM_SPREAD_DIFFERS' });
  await t.rejects(removeSpace(a, 'none', { force: true }), { code: 'ERR_IVSHMEM_SPACE_MISSING' });
  t.equal(await removeSpace(a, 'own'), false);
});
