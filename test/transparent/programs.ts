/** Programs that know nothing of shared memory, once on TCP and once with transparent mode at both ends: they see the same. */
import t, { type Test } from 'tap';
import { createServer as createHost } from '../../src/host/index.ts';
import { programs } from './support/programs/index.ts';
import { here, rest, run } from './support/run.ts';

t.setTimeout(300_000);

interface Seen {
  readonly name: string;
  readonly moves: number;
  readonly trace: unknown[];
}

/** Runs all of them with servers in one process and clients in another; both end by themselves. */
async function play(t: Test, client: string | null, server: string | null): Promise<Map<string, Seen>> {
  const serving = run(here('support/serve.ts'), { region: server });
  t.teardown(() => serving.child.kill('SIGKILL'));
  const ports = (await serving.lines.next()).value as string;
  const using = run(here('support/use.ts'), {
    region: client,
    args: [ports],
    env: client === null ? {} : { LOOK: server === null ? '0' : '1' },
  });
  t.teardown(() => using.child.kill('SIGKILL'));
  const lines = await rest(using);
  t.same(
    await using.ended,
    { code: 0, errors: '' },
    'the clients end by themselves, and complain of nothing',
  );
  serving.child.stdin!.end();
  t.same(
    await serving.ended,
    { code: 0, errors: '' },
    'the servers end by themselves, and complain of nothing',
  );
  return new Map(lines.map((line) => JSON.parse(line) as Seen).map((seen) => [seen.name, seen]));
}

t.test('programs see the same', async (t) => {
  const socket = `@ivshmem-transparent-${process.pid}`;
  const host = await createHost({ regions: [{ name: 'transparent', socket, size: 64 << 20 }] });
  t.teardown(() => host.close());
  const wanted = await play(t, null, null);
  const found = await play(t, socket, socket);
  const alone = await play(t, socket, null);
  for (const [name, { moves = 1 }] of Object.entries(programs)) {
    t.same(found.get(name)?.trace, wanted.get(name)?.trace, `${name} on shared memory`);
    t.ok(found.get(name)!.moves >= moves, `${name}: ${found.get(name)!.moves} connections went over`);
    t.same(alone.get(name)?.trace, wanted.get(name)?.trace, `${name} with a server that does not take part`);
  }
});
