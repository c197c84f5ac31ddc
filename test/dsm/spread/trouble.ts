import t from 'tap';
import { attachmentOf } from '../../../src/channel/attachments.ts';
import { openSpace } from '../../../src/dsm/index.ts';
import { SPREAD } from '../../../src/dsm/spread/layout.ts';
import { SpreadMapping } from '../../../src/dsm/spread/mapping.ts';
import { countPages, pageShiftFor } from '../../../src/dsm/spread/page-size.ts';
import { serveRegion } from '../../support/busy-region.ts';
import { NodeDouble, type Order } from '../support/node-double.ts';
import { SpreadMember, serveSpread } from '../support/spread-member.ts';

const LIMIT = { timeout: 100_000 };

t.test('pages that cannot be had', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const member = await SpreadMember.start(t, served.socket, node.place);
  for (const [failure, code] of [
    [1, 'PAGES_LOST'],
    [2, 'PAGES_FENCED'],
    [3, 'PAGES_BROKEN'],
  ] as const) {
    node.onFault = (fault) => (fault.page === 5 ? node.fail(fault, failure) : node.grant(fault));
    // One request would be one answer: the pages before it are asked for by themselves.
    await member.run('acquire', 1, 0, 5 * 4096, 'read');
    await t.rejects(member.run('acquire', 2, 0, 8 * 4096, 'read'), { code: `ERR_IVSHMEM_${code}` });
    t.equal(await member.run('release', 1), true);
  }
  node.onFault = (fault) => node.grant(fault);
  await member.run('acquire', 3, 0, 8 * 4096, 'read');
  t.equal(await member.run('release', 3), true, 'a failure is of that time');
});

t.test('a node that says nothing', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const silent = await NodeDouble.start(await served.join('silent'), 4096);
  silent.close();
  const start = (patienceMs: number) => SpreadMember.start(t, served.socket, { ...node.place, patienceMs });
  const [a, b, c] = [await start(5000), await start(5000), await start(60_000)];
  node.onFault = () => {};
  const code = 'ERR_IVSHMEM_PAGES_SILENT';
  await Promise.all([
    t.rejects(a.run('acquire', 1, 0, 10, 'write'), { code }),
    t.rejects(b.run('load', 3), /SIGSEGV/, 'an access ends as any that cannot be made'),
    t.rejects(c.run('openOther', { ...silent.place, patienceMs: 100 }), { code }),
  ]);
});

t.test('what a program may not ask', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const member = await SpreadMember.start(t, served.socket, node.place);
  const refused = (code: string, ...words: [string, ...unknown[]]) =>
    t.rejects(member.run(...words), { code: `ERR_IVSHMEM_${code}` }, words.join(' '));
  for (const [offset, length] of [
    [-1, 1],
    [0, 0],
    [0.5, 1],
    [0, 2 ** 40],
    [1 << 20, 1],
    [(1 << 20) - 1, 2],
  ]) {
    await refused('SPREAD_RANGE', 'acquire', 1, offset, length, 'read');
    await refused('SPREAD_RANGE', 'hint', offset, length, 'dont-need');
  }
  await refused('SPREAD_RANGE', 'acquire', 1, 0, 1, 'both');
  await refused('SPREAD_RANGE', 'hint', 0, 1, 'toString');
  await refused('SPREAD_SYNC', 'mutex');
  await member.run('acquire', 1, 0, 1, 'read');
  await member.run('close');
  t.equal(await member.run('release', 1), false);
  await refused('CLOSED', 'acquire', 1, 0, 1, 'read');
  await refused('CLOSED', 'hint', 0, 1, 'will-read');
  await refused('CLOSED', 'flush');
  t.match(await member.run('counts'), { mapped: 1 });
});

t.test('orders that cannot be', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const good: Order = { op: SPREAD.opMap, page: 0, count: 1, right: 2, frame: 0 };
  const bad: Partial<Order>[] = [
    { op: 0 },
    { op: 7 },
    { page: 256 },
    { page: -1 },
    { page: 255, count: 2 },
    { count: 0 },
    { right: 0 },
    { right: 3 },
    { frame: 256 },
    { frame: 255, count: 2 },
    { op: SPREAD.opRestrict, right: 2 },
    { op: SPREAD.opFail, right: 0 },
    { op: SPREAD.opFail, right: 4 },
    { op: SPREAD.opSynced, right: 3 },
  ];
  const member = await SpreadMember.start(t, served.socket, node.place);
  const kept = new Uint8Array(node.memory.buffer, 0, 4096).slice();
  for (const change of bad) {
    node.onFault = () => void node.order(member.slot, { ...good, ...change });
    const refused = { code: 'ERR_IVSHMEM_PAGES_BROKEN' };
    await t.rejects(member.run('acquire', 1, 0, 1, 'write'), refused, JSON.stringify(change));
    await t.rejects(member.run('acquire', 1, 0, 1, 'write'), refused, 'from now on');
    await member.run('close');
    await member.run('reopen');
  }
  // Positions too.
  node.onFault = ({ slot }) => {
    Atomics.add(node.words, node.word(slot, SPREAD.orderHead), 1000);
    node.ring(slot);
  };
  await t.rejects(member.run('acquire', 1, 0, 1, 'write'), { code: 'ERR_IVSHMEM_PAGES_BROKEN' });
  t.same(new Uint8Array(node.memory.buffer, 0, 64), kept.subarray(0, 64), 'the header is as it was');
  // And what the control part says.
  const control = new Int32Array(node.words.buffer, node.words.byteOffset, 32);
  for (const field of [
    'pageShift',
    'spacePages',
    'framesOffset',
    'frames',
    'membersOffset',
    'slots',
  ] as const) {
    for (const value of [-1, 0]) {
      const at = SPREAD[field] / 4;
      const before = control[at]!;
      control[at] = value;
      const { code } = await member.run('openOther', {}).catch((error) => error);
      t.match(code, /^ERR_IVSHMEM_SP(ACE_MAP|READ_PAGES)$/, `${field} ${value}`);
      control[at] = before;
    }
  }
  await member.run('openOther', {});
});

t.test('what cannot be opened', LIMIT, async (t) => {
  const { join, close } = await serveRegion('spread-one-vector', { vectors: 1 });
  t.teardown(close);
  const region = await join('a');
  await t.rejects(SpreadMapping.open(attachmentOf(region), 'open', { at: 0, bytes: 4096, size: 1 }), {
    code: 'ERR_IVSHMEM_SPREAD_VECTORS',
  });
  const options = { code: 'ERR_IVSHMEM_SPACE_OPTIONS' };
  for (const pageSize of [0, 1, 2048, 4097, 2 ** 22, Number.NaN])
    await t.rejects(openSpace(region, 's', { size: 1, spread: true, pageSize }), options, `${pageSize}`);
  await t.rejects(openSpace(region, 's', { size: 1, pageSize: 4096 }), options);
  await t.rejects(openSpace(region, 's', { size: 8192, spread: true }), { code: 'ERR_IVSHMEM_REFUSED' });
  const space = await openSpace(region, 's', { size: 8192 });
  await t.rejects(openSpace(region, 's', { spread: true }), { code: 'ERR_IVSHMEM_SPREAD_DIFFERS' });
  t.equal(space.closed, false);
});

t.test('pages are mappings, of which a process has only so many', async (t) => {
  t.equal(pageShiftFor(1 << 20, undefined), 12);
  t.equal(pageShiftFor(1 << 20, 65_536), 16);
  const large = pageShiftFor(2 ** 32, undefined);
  t.equal(large > 12, true, 'the smallest that can be mapped');
  const give = countPages('open', 2 ** 32, large);
  t.throws(() => countPages('open', 2 ** 32, large), { code: 'ERR_IVSHMEM_SPREAD_PAGES' });
  give();
  give();
  countPages('open', 2 ** 32, large)();
  t.throws(() => countPages('open', 2 ** 40, 12), { code: 'ERR_IVSHMEM_SPREAD_PAGES' });
});
