import { join } from 'node:path';
import t from 'tap';
import { openSpace, removeSpace } from '../../../src/dsm/index.ts';
import { locksName } from '../../../src/dsm/spread/locks-name.ts';
import { createServer } from '../../../src/host/index.ts';
import { accessOf } from '../../../src/host/region/access.ts';
import { SPACE_NAME_BYTES } from '../../../src/memory/layout.ts';
import { serveRegion } from '../../support/busy-region.ts';
import { testFolder } from '../../support/test-folder.ts';
import { found, twoHosts } from '../../support/two-hosts.ts';
import { withoutOpenssl } from '../hosts/support/certificates.ts';

const FORBIDDEN = { code: 'ERR_IVSHMEM_SPACE_FORBIDDEN' };
const member = (name: string, uid = 1000, gid = 100) => ({ name, credentials: { pid: 1, uid, gid } });

t.test('the first rule for a name decides', async (t) => {
  const rules = [
    { space: 'a*', open: [{ uid: 1 }, { gid: 2, member: 'm-*' }], create: [{ uid: 1 }] },
    { space: 'ab', open: [] },
    { space: 'c', create: [] },
    { space: '*', open: [], hosts: ['h'] },
  ];
  const of = (space: string, who: ReturnType<typeof member>) => accessOf(rules, space, who);
  t.strictSame(of('ab', member('x', 1)), { open: true, create: true, hosts: null });
  t.strictSame(of('ab', member('m-1', 5, 2)), { open: true, create: false, hosts: null });
  t.strictSame(
    of('ab', member('m', 5, 2)),
    { open: false, create: false, hosts: null },
    'all of an entry fits',
  );
  t.strictSame(of('ab', member('m-1')), { open: false, create: false, hosts: null });
  t.strictSame(of('c', member('x')), { open: true, create: false, hosts: null });
  t.strictSame(of('cd', member('x')), { open: false, create: false, hosts: ['h'] }, 'a name is no beginning');
  t.strictSame(accessOf([], 'x', member('x')), { open: true, create: true, hosts: null });
});

t.test('a rule is for the objects of its space, too', async (t) => {
  const long = 'n'.repeat(SPACE_NAME_BYTES);
  const rules = [
    { space: 'c', create: [] },
    { space: `${long.slice(0, 60)}*`, open: [] },
    { space: '*', open: [], hosts: ['h'] },
  ];
  const of = (space: string) => accessOf(rules, locksName(space), member('x'));
  t.strictSame(of('c'), { open: true, create: false, hosts: null });
  t.strictSame(of(long), { open: false, create: false, hosts: null }, 'cut within the beginning');
  t.strictSame(of('cd'), { open: false, create: false, hosts: ['h'] });
});

t.test('members of a region: open, make, remove', async (t) => {
  const served = await serveRegion('guarded', {
    spaces: [
      { space: 'shared*', open: [{ member: 'reader' }, { member: 'maker' }], create: [{ member: 'maker' }] },
      { space: 'secret', open: [] },
    ],
  });
  t.teardown(() => served.close());
  const [maker, reader, other] = [
    await served.join('maker'),
    await served.join('reader'),
    await served.join('other'),
  ];
  await t.rejects(openSpace(reader, 'shared', { size: 4096 }), FORBIDDEN, 'it may not make it');
  await t.rejects(openSpace(other, 'shared', { create: 'never' }), FORBIDDEN, 'it hears nothing');
  const made = await openSpace(maker, 'shared', { size: 4096, persistent: true });
  t.equal(made.created, true);
  new Uint8Array(made.buffer)[0] = 7;
  const opened = await openSpace(reader, 'shared', { size: 4096 });
  t.equal(opened.created, false);
  t.equal(new Uint8Array(opened.buffer)[0], 7);
  await t.rejects(openSpace(other, 'shared'), FORBIDDEN);
  await t.rejects(removeSpace(reader, 'shared'), FORBIDDEN);
  t.equal(await removeSpace(maker, 'shared'), false, 'it goes with its last holder');
  await t.rejects(openSpace(maker, 'secret', { size: 4096 }), FORBIDDEN);
  t.equal((await openSpace(other, 'free', { size: 4096 })).created, true, 'no rule is about it');
});

t.test(
  'hosts that may not open a space',
  { skip: withoutOpenssl() ?? false, timeout: 120_000 },
  async (t) => {
    const hosts = await twoHosts(join(testFolder(t)), {
      region: {
        spaces: [
          { space: 'mine', hosts: ['a'] },
          { space: 'nobody', open: [] },
        ],
      },
    });
    t.teardown(() => hosts.close());
    const [a, b] = [await hosts.member(0, 'm'), await hosts.member(1, 'n')];
    await found(a, b);
    const options = { size: 8192, pageSize: 4096, spread: true } as const;
    await t.rejects(openSpace(b, 'mine', options), FORBIDDEN, 'it may not even make it');
    const space = await openSpace(a, 'mine', options);
    t.equal(space.created, true);
    await t.rejects(openSpace(b, 'mine', options), FORBIDDEN);
    await t.rejects(openSpace(a, 'nobody', options), FORBIDDEN);
  },
);

t.test('rules that make no sense are refused', async (t) => {
  const region = { name: 'r', socket: `@ivshmem-access-${process.pid}`, size: '16M' };
  const serve = (rule: object) =>
    createServer({ regions: [{ ...region, spaces: [rule as { space: string }] }] });
  await t.rejects(serve({ space: 'x', open: [{}] }), /name uid, gid or member/);
  await t.rejects(serve({ space: '' }), { code: 'ERR_IVSHMEM_SERVER_CONFIG' });
  await t.rejects(serve({ space: 'x', hosts: [] }), { code: 'ERR_IVSHMEM_SERVER_CONFIG' });
});
