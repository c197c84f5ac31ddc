import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { isIvshmemError } from '../../../src/errors/index.ts';
import { open } from '../../../src/index.ts';
import { Asking, ask, echoMember } from '../../support/echo-members.ts';
import { until } from '../../support/protocol/until.ts';
import { Random, testSeed } from '../../support/random.ts';
import { ServerProgram } from '../../support/supervised-server.ts';

const KILLS = 25;
const STAY = 3;
const CHURNERS = 2;

// Each kill waits for a standby to be loaded, which takes seconds on a busy machine.
t.setTimeout(300_000);

t.test(`a server killed ${KILLS} times under load`, { timeout: 290_000 }, async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  const socket = `@ivshmem-restart-${process.pid}`;
  const program = await ServerProgram.start(socket, '--supervised', '--size', '16M', '--slots', '24');
  t.teardown(() => program.end());
  const before = await program.status();

  const members = [];
  for (let i = 0; i < STAY; i++) {
    const member = await echoMember(socket, `stay-${i}`);
    t.teardown(() => member.close());
    members.push(member);
  }
  const asking: Asking[] = [];
  for (let i = 0; i < STAY; i++) {
    asking.push(new Asking(await members[i]!.connect(`echo-stay-${(i + 1) % STAY}`)));
  }

  let running = true;
  let lives = 0;
  let turnedAway = 0;
  /** Joins, listens, connects, asks, closes, leaves, over and over. */
  const churn = async (id: number): Promise<void> => {
    for (let life = 0; running; life++) {
      const name = `churn-${id}`;
      let region: Awaited<ReturnType<typeof open>>;
      try {
        region = await open({ socket, name });
      } catch (error) {
        // Connected in the moment of a death; or its last life is not yet over for the server.
        const early = ['ERR_IVSHMEM_HOST_CLOSED', 'ERR_IVSHMEM_HOST_CONNECT', 'ERR_IVSHMEM_REFUSED'] as const;
        if (!early.some((code) => isIvshmemError(error, code))) throw error;
        turnedAway++;
        await delay(1);
        continue;
      }
      await region.listen(`service-${id}`);
      const channel = await region.connect(`echo-stay-${life % STAY}`);
      for (let i = 0; i < 3; i++) await ask(channel, i);
      await channel.close();
      await region.close();
      lives++;
      // The server has to come up beside them.
      await delay(25);
    }
  };
  const churning = Array.from({ length: CHURNERS }, (_, id) => churn(id));
  t.teardown(() => {
    running = false;
  });
  const failed = Promise.race(churning);
  failed.catch(() => {});

  for (let kill = 0; kill < KILLS; kill++) {
    // Mostly long enough not to be one that dies too soon too often.
    await delay(random.below(1200));
    await Promise.race([program.killServer(), failed]);
    const { members: listed } = await program.status();
    const names = listed.map(({ name }) => name);
    for (let i = 0; i < STAY; i++) {
      if (!names.includes(`stay-${i}`)) t.fail(`stay-${i} is not listed after kill ${kill}, seed ${seed}`);
    }
  }
  const killed = asking.map(({ answers }) => answers);
  await until('everybody gets answers after the last kill', () =>
    asking.every(({ answers }, i) => answers > killed[i]!),
  );
  running = false;
  await Promise.all(churning);
  for (const one of asking) await one.stop();
  t.ok(lives > KILLS, `${lives} lives, ${turnedAway} turned away, seed ${seed}`);
  t.same(program.complaints, []);

  await until(
    'only those who stayed are there',
    async () => (await program.status()).members.length === STAY,
  );
  t.equal((await program.status()).channels, STAY);
  for (const member of members) await member.close();
  await until('nobody is there', async () => (await program.status()).members.length === 0);
  const after = await program.status();
  t.same([after.channels, after.freeHeapBytes], [before.channels, before.freeHeapBytes], 'all came back');
  t.equal(await program.stop(), 0);
});
