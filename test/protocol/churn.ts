import t from 'tap';
import { openHost } from '../../src/backend/host.ts';
import { createServer } from '../../src/host/index.ts';
import { lacking } from '../support/native-build.ts';
import { survivorsAreWell } from '../support/protocol/doorbells.ts';
import { buildJoiner, handshakeMessages, Joiner } from '../support/protocol/joiner.ts';
import { QEMU, QemuPeer } from '../support/protocol/qemu-peer.ts';
import { until } from '../support/protocol/until.ts';
import { Random, testSeed } from '../support/random.ts';

const SLOTS = 32;
const SURVIVORS = 3;
/** Joins and deaths by SIGKILL: 1,000 in all. */
const QEMU_JOINS = 100;
const PROCESS_JOINS = 900;
const AT_ONCE = 12;
const CHECK_EVERY = 100;

t.test(
  `${QEMU_JOINS} QEMUs and ${PROCESS_JOINS} processes join and are killed`,
  {
    skip: lacking(QEMU, 'cc'),
    timeout: 240_000,
  },
  async (t) => {
    const seed = testSeed();
    const random = new Random(seed);
    const socket = `@ivshmem-churn-${process.pid}`;
    const server = await createServer({ regions: [{ name: 'churn', socket, size: '1M', slots: SLOTS }] });
    t.teardown(() => server.close());
    const program = buildJoiner();
    t.teardown(() => program.remove());
    const host = await openHost(socket);
    t.teardown(() => host.close());
    const survivors: QemuPeer[] = [];
    for (let i = 0; i < SURVIVORS; i++) {
      const survivor = await QemuPeer.start({ socket });
      t.teardown(() => survivor.kill());
      survivors.push(survivor);
    }
    const stay = SURVIVORS + 1;

    const joiners: Joiner[] = [];
    const qemus: QemuPeer[] = [];
    t.teardown(async () => {
      for (const one of [...joiners, ...qemus]) await one.kill();
    });
    const killOne = async (from: { kill(): Promise<void> }[]): Promise<void> => {
      const [victim] = from.splice(random.below(from.length), 1);
      await victim?.kill();
    };
    let joins = 0;
    for (let i = 0; i < PROCESS_JOINS + QEMU_JOINS; i++) {
      const isQemu = i % ((PROCESS_JOINS + QEMU_JOINS) / QEMU_JOINS) < 1;
      // A slot is free again when the server has seen the end of the last victim.
      await until('a slot is free', () => server.status().regions[0]!.members.length < SLOTS - 2);
      if (isQemu) {
        const qemu = QemuPeer.spawn({ socket });
        qemus.push(qemu);
        const { pid } = qemu.process;
        await until('the QEMU joins', () =>
          server.status().regions[0]!.members.some((member) => member.pid === pid),
        );
      } else {
        const joiner = new Joiner(program, 'hold', socket, handshakeMessages(SLOTS, 2));
        joiners.push(joiner);
        // One in eight is killed wherever it is, perhaps in the middle of the handshake.
        if (!random.oneIn(8)) await joiner.joined();
      }
      joins++;
      if (joiners.length > AT_ONCE || random.oneIn(4)) await killOne(joiners);
      if (qemus.length > 2) await killOne(qemus);
      if (joins % CHECK_EVERY === 0) await survivorsAreWell(survivors, host);
    }
    while (joiners.length > 0) await killOne(joiners);
    while (qemus.length > 0) await killOne(qemus);
    await until('every death is seen', () => server.status().regions[0]!.members.length === stay);
    await survivorsAreWell(survivors, host);
    t.equal(joins, 1000, `seed ${seed}`);
    const newcomer = await QemuPeer.start({ socket });
    t.teardown(() => newcomer.kill());
    await survivorsAreWell([...survivors, newcomer], host);
  },
);
