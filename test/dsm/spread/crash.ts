import t from 'tap';
import { SpreadMember, serveSpread } from '../support/spread-member.ts';

const LIMIT = { timeout: 100_000 };

t.test('a crash is a crash, of a page that cannot be had and of anything else', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  for (const how of ['crash', 'load']) {
    const member = await SpreadMember.start(t, served.socket, node.place);
    await member.run('store', 1, 1);
    node.onFault = (fault) => (how === 'load' ? node.fail(fault, 1) : node.grant(fault));
    await t.rejects(member.run(how, 9), /SIGSEGV/);
    t.same(await member.exited, [null, 'SIGSEGV']);
    node.onFault = (fault) => node.grant(fault);
  }
});
