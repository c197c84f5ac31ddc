import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { open } from '../../../src/index.ts';
import { Asking, ask, echoMember } from '../../support/echo-members.ts';
import { until } from '../../support/protocol/until.ts';
import { ServerProgram } from '../../support/supervised-server.ts';

const SHAPE = ['--size', '16M', '--slots', '24'] as const;
const GENERATIONS = 6;

t.test('servers replace each other under load', { timeout: 120_000 }, async (t) => {
  const socket = `@ivshmem-replace-${process.pid}`;
  const servers: ServerProgram[] = [];
  t.teardown(async () => {
    for (const server of servers) await server.end();
  });
  servers.push(await ServerProgram.start(socket, ...SHAPE));
  const before = await servers[0]!.status();
  const one = await echoMember(socket, 'one');
  t.teardown(() => one.close());
  const two = await echoMember(socket, 'two');
  t.teardown(() => two.close());
  const asking = [
    new Asking(await one.connect('echo-two')),
    new Asking(await two.connect('echo-one')),
  ] as const;

  let running = true;
  t.teardown(() => {
    running = false;
  });
  let lives = 0;
  const churning = (async () => {
    while (running) {
      const region = await open({ socket, name: 'three' });
      const channel = await region.connect('echo-one');
      await ask(channel, lives);
      await channel.close();
      await region.close();
      lives++;
      // The server has to come up beside them.
      await delay(25);
    }
  })();
  churning.catch(() => {});

  for (let i = 1; i <= GENERATIONS; i++) {
    const old = servers.at(-1)!;
    // Every other one has a supervisor, which ends with its server.
    const supervised = i % 2 === 1 ? ['--supervised'] : [];
    servers.push(await ServerProgram.start(socket, ...SHAPE, ...supervised, '--replace'));
    await until(`server ${i - 1} has ended`, () => old.process.exitCode !== null);
    t.same([old.process.exitCode, old.complaints], [0, []], `server ${i - 1} ends well`);
    const lived = lives;
    const answers = asking.map((each) => each.answers);
    await until('life goes on', () => lives > lived && asking.every((each, k) => each.answers > answers[k]!));
  }
  running = false;
  // Nobody is turned away: connections wait in the listening socket.
  await churning;
  for (const each of asking) await each.stop();
  const last = servers.at(-1)!;
  t.match((await last.status()).members.map(({ name }) => name).sort(), ['one', 'two']);
  await one.close();
  await two.close();
  await until('nobody is there', async () => (await last.status()).members.length === 0);
  const after = await last.status();
  t.same([after.channels, after.freeHeapBytes], [before.channels, before.freeHeapBytes]);
});

t.test('a server that cannot take the region leaves it where it is', { timeout: 60_000 }, async (t) => {
  const socket = `@ivshmem-replace-refused-${process.pid}`;
  const server = await ServerProgram.start(socket, ...SHAPE);
  t.teardown(() => server.end());
  const member = await echoMember(socket, 'one');
  t.teardown(() => member.close());
  await t.rejects(ServerProgram.start(socket, '--size', '32M', '--slots', '24', '--replace'), {
    message: /size is 33554432, and was 16777216/,
  });
  await delay(0);
  const other = await open({ socket, name: 'two' });
  t.teardown(() => other.close());
  await ask(await other.connect('echo-one'), 7);
  t.equal(server.process.exitCode, null);
  await t.rejects(ServerProgram.start('@ivshmem-nobody', ...SHAPE, '--replace'), {
    message: /ERR_IVSHMEM_SERVER_HANDOVER/,
  });
});

t.test('an upgrade of a supervised server', { timeout: 60_000 }, async (t) => {
  const socket = `@ivshmem-upgrade-${process.pid}`;
  const program = await ServerProgram.start(socket, ...SHAPE, '--supervised');
  t.teardown(() => program.end());
  const one = await echoMember(socket, 'one');
  t.teardown(() => one.close());
  const two = await open({ socket, name: 'two' });
  t.teardown(() => two.close());
  const asking = new Asking(await two.connect('echo-one'));
  for (let i = 2; i <= 4; i++) {
    const { serving } = program;
    program.process.kill('SIGHUP');
    await program.logs('the server serves', i);
    t.not(program.serving, serving, 'another process serves');
    t.equal((await program.status()).members.length, 2);
  }
  await asking.stop();
  t.ok(asking.answers > 0);
  await two.close();
  await one.close();
  t.equal(await program.stop('SIGINT'), 0);
  t.same(program.complaints, []);
});
