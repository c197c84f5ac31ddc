import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { openHost } from '../../src/backend/host.ts';
import {
  type OpenSpaceOptions,
  openSpace,
  removeSpace,
  type SpaceInfo,
  spaces,
} from '../../src/dsm/index.ts';
import { spaceMemory } from '../../src/dsm/space-memory.ts';
import { createServer } from '../../src/host/index.ts';
import { open, Region, type RegionDevice } from '../../src/index.ts';
import { IvshmemDevice } from '../../src/ivshmem/index.ts';
import { writeHeader } from '../../src/memory/header.ts';
import { LAYOUT_MINOR, SPACE_W, SYSTEM_PAGES } from '../../src/memory/layout.ts';
import { joinUnpluggable } from '../net/support/unpluggable.ts';
import { until } from '../support/protocol/until.ts';
import { ServerProgram } from '../support/supervised-server.ts';

const MIB = 1 << 20;
const PROGRAM = fileURLToPath(new URL('./support/holder-program.ts', import.meta.url));
let regions = 0;

async function serve(t: Test, more: object = {}): Promise<string> {
  const socket = `@ivshmem-space-${process.pid}-${regions++}`;
  const server = await createServer({ regions: [{ name: 'r', socket, size: '16M', ...more }] });
  t.teardown(() => server.close());
  return socket;
}

async function join(t: Test, socket: string, name: string): Promise<Region> {
  const region = await open({ socket, name });
  t.teardown(() => region.close());
  return region;
}

const named = (region: Region, name: string): SpaceInfo | undefined =>
  spaces(region).find((space) => space.name === name);

t.test('two members see one memory', async (t) => {
  const socket = await serve(t);
  const [a, b] = [await join(t, socket, 'a'), await join(t, socket, 'b')];
  const mine = await openSpace(a, 'matrix', { size: 3 * MIB + 5 });
  t.match(mine, { name: 'matrix', byteLength: 3 * MIB + 5, created: true, persistent: false, closed: false });
  t.equal(mine.buffer.byteLength, 3 * MIB + 5);
  t.ok(new Uint8Array(mine.buffer).every((byte) => byte === 0));
  const theirs = await openSpace(b, 'matrix');
  t.match(theirs, { byteLength: 3 * MIB + 5, created: false });
  new Uint8Array(mine.buffer)[3 * MIB + 4] = 7;
  t.equal(new Uint8Array(theirs.buffer)[3 * MIB + 4], 7);
  t.equal(Atomics.add(new Int32Array(theirs.buffer, 0, 1), 0, 5), 0);
  t.equal(new Int32Array(mine.buffer, 0, 1)[0], 5);
  t.strictSame(spaces(b), [
    {
      name: 'matrix',
      byteLength: 3 * MIB + 5,
      persistent: false,
      holders: 2,
      creator: { slot: a.slot, epoch: 1 },
    },
  ]);
  await mine.close();
  await mine.close();
  t.equal(mine.closed, true);
  t.equal(mine.buffer.byteLength, 0, 'detached');
  t.equal(mine.byteLength, 3 * MIB + 5);
  t.equal(new Int32Array(theirs.buffer, 0, 1)[0], 5, 'the others still have it');
  await b.close();
  t.equal(theirs.closed, true, 'who leaves the region lets go of its spaces');
  t.equal(theirs.buffer.byteLength, 0);
  t.same(spaces(a), []);
});

t.test('opened twice it is the same, and closed twice it is closed', async (t) => {
  const region = await join(t, await serve(t), 'a');
  const [one, two] = await Promise.all([
    openSpace(region, 's', { size: 100 }),
    openSpace(region, 's', { size: 100 }),
  ]);
  t.equal(one, two);
  await one.close();
  t.equal(two.closed, false);
  t.equal(named(region, 's')?.holders, 1);
  await two.close();
  t.equal(named(region, 's'), undefined);
  const again = await openSpace(region, 's', { size: 100 });
  t.not(again, one);
  t.equal(again.created, true);
  // Closed and opened in one breath, it is another one.
  const closing = again.close();
  const next = await openSpace(region, 's', { size: 200 });
  await closing;
  t.match(next, { created: true, byteLength: 200 });
});

t.test('what cannot be is refused', async (t) => {
  const socket = await serve(t);
  const [a, b] = [await join(t, socket, 'a'), await join(t, socket, 'b')];
  const refused = (region: Region, name: string, options: OpenSpaceOptions, code: string): Promise<unknown> =>
    t.rejects(openSpace(region, name, options), { code: `ERR_IVSHMEM_${code}` });
  await refused(a, 's', {}, 'SPACE_MISSING');
  await refused(a, 's', { size: 1, create: 'never' }, 'SPACE_MISSING');
  await refused(a, 's', { create: 'always' }, 'SPACE_OPTIONS');
  await refused(a, 's', { create: 'perhaps' as 'never' }, 'SPACE_OPTIONS');
  for (const size of [0, -1, 1.5, Number.NaN, 2 ** 33]) await refused(a, 's', { size }, 'SPACE_OPTIONS');
  await refused(a, '', { size: 1 }, 'NAME');
  await refused(a, 'n'.repeat(65), { size: 1 }, 'NAME');
  await refused(a, 's', { size: 12 * MIB }, 'REFUSED');
  await openSpace(a, 's', { size: 100 });
  for (const region of [a, b]) {
    await refused(region, 's', { size: 101 }, 'SPACE_SIZE');
    await refused(region, 's', { size: 100, create: 'always' }, 'SPACE_EXISTS');
  }
  await t.rejects(removeSpace(a, 'other'), { code: 'ERR_IVSHMEM_SPACE_MISSING' });
  await b.close();
  await refused(b, 's', {}, 'CLOSED');
  t.throws(() => spaces(b), { code: 'ERR_IVSHMEM_CLOSED' });
});

t.test('a persistent space waits for the next', async (t) => {
  const socket = await serve(t);
  const a = await join(t, socket, 'a');
  const space = await openSpace(a, 'kept', { size: 10, persistent: true });
  new Uint8Array(space.buffer).fill(3);
  await a.close();
  const b = await join(t, socket, 'b');
  t.match(named(b, 'kept'), { persistent: true, holders: 0 });
  const found = await openSpace(b, 'kept', { create: 'never' });
  t.match(found, { created: false, persistent: true });
  t.same([...new Uint8Array(found.buffer)], Array(10).fill(3));
  t.equal(await removeSpace(b, 'kept'), false, 'it is held');
  await found.close();
  t.equal(named(b, 'kept'), undefined);
});

t.test('kill -9 of a holder', { timeout: 90_000 }, async (t) => {
  const socket = await serve(t);
  const region = await join(t, socket, 'a');
  const child = spawn(process.execPath, ['--import', 'tsx', PROGRAM, socket, 'shared'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const space = await openSpace(region, 'shared');
  t.equal(new Int32Array(space.buffer)[0], child.pid);
  const { party } = spaceMemory(space);
  let woken = 0;
  const stop = party.onWake(() => woken++);
  const { slot } = named(region, 'shared')!.creator;
  const before = woken;
  child.kill('SIGKILL');
  await until('the server to let go for it', () => named(region, 'shared')?.holders === 1, 60);
  await until('the others to be woken', () => woken > before, 60);
  stop();
  t.equal(new Int32Array(space.buffer)[0], child.pid, 'what it wrote is there');
  t.not(slot, region.slot);
});

t.test('those who take part', async (t) => {
  const socket = await serve(t);
  const [a, b] = [await join(t, socket, 'a'), await join(t, socket, 'b')];
  const [mine, theirs] = [await openSpace(a, 's', { size: 1 }), await openSpace(b, 's')];
  const [one, two] = [spaceMemory(mine), spaceMemory(theirs)];
  t.equal(one.system.byteLength, SYSTEM_PAGES * 4096);
  new Int32Array(one.system)[9] = 4;
  t.equal(new Int32Array(two.system)[9], 4, 'the system part is shared too');
  t.equal(one.party.alive(b.slot, two.party.epoch), true);
  t.equal(one.party.alive(b.slot, two.party.epoch ^ 1), false, 'another life');
  for (const slot of [0, -1, 63, 64, 1e9, Number.NaN]) t.equal(one.party.alive(slot, two.party.epoch), false);
  let [ours, other] = [0, 0];
  one.party.onWake(() => ours++);
  two.party.onWake(() => other++);
  one.party.notify(b.slot);
  await until('b to be woken', () => other > 0);
  const before = ours;
  one.party.notify(a.slot);
  await until('a to be woken by itself', () => ours > before);
  for (const slot of [0, -1, 64, Number.NaN]) one.party.notify(slot);
  let closed = 0;
  one.onClosed(() => closed++);
  const leaving = ours;
  await b.close();
  await until('a to hear that b left', () => ours > leaving);
  t.equal(one.party.alive(b.slot, two.party.epoch), false);
  await mine.close();
  t.equal(closed, 1);
  await a.close();
  t.equal(one.party.alive(a.slot, one.party.epoch), false);
  one.party.notify(b.slot);
});

t.test('an unplug: zeros, then nothing', async (t) => {
  const socket = await serve(t);
  const { region, unplug } = await joinUnpluggable(socket, { name: 'a' });
  const space = await openSpace(region, 's', { size: 100 });
  const bytes = new Uint8Array(space.buffer).fill(1);
  let seen = -1;
  region.onRemoved(() => {
    seen = bytes[0]!;
  });
  unplug();
  t.equal(seen, 0);
  t.equal(space.closed, true);
  t.equal(bytes.length, 0);
  await space.close();
  const b = await join(t, socket, 'b');
  await until('the server to let go for it', () => named(b, 's') === undefined);
});

t.test('a region of an older layout, and a table that was scribbled on', async (t) => {
  const socket = await serve(t);
  const a = await join(t, socket, 'a');
  const device: RegionDevice = new IvshmemDevice(await openHost(socket));
  const { header } = a;
  const page = a.device.memory.slice(0, 4096);
  // What a member of an older region finds: the same, with another version and a heap that begins earlier.
  const older = Buffer.from(a.device.memory, 0, 4096);
  const { regionPages, slots, vectors, channels, name } = header;
  const uuid = Buffer.from(header.uuid, 'hex');
  writeHeader(a.device.memory, {
    regionBytes: regionPages * 4096,
    slots,
    vectors,
    channels,
    uuid,
    name,
    minor: 1,
  });
  const b = await Region.join(device, { name: 'b' });
  t.teardown(() => b.close());
  older.set(new Uint8Array(page));
  await t.rejects(openSpace(b, 's', { size: 1 }), { code: 'ERR_IVSHMEM_SPACES_ABSENT' });
  await t.rejects(removeSpace(b, 's'), { code: 'ERR_IVSHMEM_SPACES_ABSENT' });
  t.throws(() => spaces(b), { code: 'ERR_IVSHMEM_SPACES_ABSENT' });
  const space = await openSpace(a, 's', { size: 5000 });
  const c = await join(t, socket, 'c');
  const table = new Int32Array(a.device.memory, header.spacePage * 4096, 32);
  const good = table.slice();
  for (const field of [
    'firstPage',
    'pages',
    'systemPages',
    'bytesLow',
    'bytesHigh',
    'name',
    'generation',
  ] as const) {
    // The server writes the whole entry when it gets a holder, so the scribbler comes right after it.
    const held = openSpace(c, 's');
    const scribble = setInterval(() => {
      table[SPACE_W[field]] = -2;
    }, 0);
    try {
      const found = await held;
      t.equal(found.byteLength, 5000, 'read before');
      await found.close();
    } catch (error) {
      t.equal((error as { code: string }).code, 'ERR_IVSHMEM_SPACE_TABLE', field);
    } finally {
      clearInterval(scribble);
      table.set(good);
    }
  }
  t.equal(space.buffer.byteLength, 5000);
  t.equal(LAYOUT_MINOR, header.minor);
});

t.test(
  'a server that is killed: who holds goes on, and all of it is known to the next',
  { timeout: 110_000 },
  async (t) => {
    const socket = `@ivshmem-space-kill-${process.pid}`;
    const program = await ServerProgram.start(socket, '--supervised', '--size', '16M');
    t.teardown(() => program.end());
    const [a, b] = [await join(t, socket, 'a'), await join(t, socket, 'b')];
    const space = await openSpace(a, 's', { size: MIB });
    const kept = await openSpace(a, 'kept', { size: 100, persistent: true });
    new Uint8Array(space.buffer).fill(9);
    new Uint8Array(kept.buffer).fill(8);
    await kept.close();
    await program.killServer();
    const seen = await openSpace(b, 's');
    t.ok(new Uint8Array(seen.buffer).every((byte) => byte === 9));
    t.equal(new Uint8Array((await openSpace(b, 'kept')).buffer)[99], 8);
    t.equal(named(b, 's')?.holders, 2);
    await space.close();
    await seen.close();
    t.equal(named(b, 's'), undefined);
  },
);
