import t from 'tap';
import { until } from '../../support/protocol/until.ts';
import { SpreadMember, serveSpread } from '../support/spread-member.ts';

const LIMIT = { timeout: 100_000 };

t.test('closed while a thread waits for a page, and while an acquisition does', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const member = await SpreadMember.start(t, served.socket, node.place);
  node.onFault = () => {};
  await member.run('begin', 1, 8 * 4096, 4096, 'write');
  t.same(await member.run('closeUnderFault', 3), [0, true]);
  await t.rejects(member.run('begun', 1), { code: 'ERR_IVSHMEM_CLOSED' });
  await until('the node to know', () => node.members.length === 0, 60);
  node.onFault = (fault) => node.grant(fault);
  await member.run('reopen');
  t.equal(await member.run('load', 3), 0);
});

t.test('kill -9 of one that holds pages and waits for others', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const [a, b] = [
    await SpreadMember.start(t, served.socket, node.place),
    await SpreadMember.start(t, served.socket, node.place),
  ];
  await a.run('fill', 2);
  await a.run('acquire', 1, 0, 8192, 'write');
  await node.restrict(a.slot, 9, 1, 0);
  node.onFault = (fault) => (fault.slot === a.slot ? undefined : node.grant(fault));
  const before = node.faults.length;
  const load = a.run('load', 9).catch(() => {});
  await until('it to wait', () => node.faults.length > before, 60);
  a.child.kill('SIGKILL');
  t.same(await a.exited, [null, 'SIGKILL']);
  await load;
  t.equal(await b.run('wrong', 2), 0, 'what it stored is there');
  node.onFault = (fault) => node.grant(fault);
  const c = await SpreadMember.start(t, served.socket, node.place);
  t.equal(await c.run('wrong', 2), 0);
});

t.test('an unplug: zeros, then nothing', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const member = await SpreadMember.start(t, served.socket, node.place);
  await member.run('fill', 9);
  const [seen, length] = await member.run('unplug');
  t.same([seen, length], [0, 0]);
  t.same(await member.run('close'), [true, 0]);
});
