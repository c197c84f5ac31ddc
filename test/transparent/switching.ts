/** Pools of HTTP and HTTPS connections that change their path all the time, at both ends, under load. */
import t from 'tap';
import { createServer as createHost } from '../../src/host/index.ts';
import { testSeed } from '../support/random.ts';
import { here, rest, run } from './support/run.ts';

t.setTimeout(240_000);
const seed = testSeed();

t.test(`not a byte is lost, and no connection (seed ${seed})`, async (t) => {
  const region = `@ivshmem-transparent-switching-${process.pid}`;
  const host = await createHost({ regions: [{ name: 'switching', socket: region, size: 64 << 20 }] });
  t.teardown(() => host.close());
  const server = run(here('support/switching.ts'), { region, args: ['serve'] });
  t.teardown(() => server.child.kill('SIGKILL'));
  const ports = JSON.parse((await server.lines.next()).value as string) as number[];
  const client = run(here('support/switching.ts'), {
    region,
    args: ['ask', ...ports.map(String), `${seed}`],
  });
  t.teardown(() => client.child.kill('SIGKILL'));
  const [line] = await rest(client);
  t.same(await client.ended, { code: 0, errors: '' });
  const { asked, wrong, moved, connections, reasons, after } = JSON.parse(line!);
  t.equal(wrong, 0, `${asked} answers, each with its checksum`);
  t.ok(moved >= 300, `${moved} changes of path at the client`);
  t.equal(connections, 6, 'over the connections there were at the beginning');
  t.same(new Set(after), new Set(['tcp']));
  t.ok(!reasons.includes('none') && !reasons.includes('not-taking-part'), reasons.join());
  server.child.stdin!.end();
  t.same(await server.ended, { code: 0, errors: '' });
});
