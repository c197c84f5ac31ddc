import t from 'tap';
import { withoutOpenssl } from '../host/hosts/support/certificates.ts';
import { SpreadScene, type Status } from '../support/spread-scene.ts';

const skip = withoutOpenssl() ?? false;
const release = { consistency: 'release' } as const;

t.test('what one host released another sees that refreshes', { skip }, async (t) => {
  const [one, two] = await new SpreadScene(t).form(2, release);
  // Page 1 has its home at the second host.
  t.same(await one!.do('bytes', 1, 1, 0, 4), [0, 0, 0, 0]);
  await one!.do('paint', 1, 1, 0, 4, 7);
  t.same(await two!.do('bytes', 1, 1, 0, 4), [0, 0, 0, 0], 'not released yet');
  await one!.do('flush', 1);
  t.same(await two!.do('bytes', 1, 1, 0, 4), [7, 7, 7, 7], 'the home has it');
  await two!.do('paint', 1, 1, 2, 4, 8);
  t.same(await one!.do('bytes', 1, 1, 0, 6), [7, 7, 7, 7, 0, 0], 'a copy stays what it is');
  await two!.do('flush', 1);
  await one!.do('refresh', 1);
  t.same(await one!.do('bytes', 1, 1, 0, 6), [7, 7, 8, 8, 8, 8]);
  t.equal((await one!.do<Status>('status')).consistency, 'release');
  for (const host of [one!, two!]) t.notOk(host.events.some(({ kind }) => kind === 'reject'));
});
