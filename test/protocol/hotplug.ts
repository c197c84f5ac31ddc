import t from 'tap';
import { openHost } from '../../src/backend/host.ts';
import { createServer } from '../../src/host/index.ts';
import { lacking } from '../support/native-build.ts';
import { exchange, survivorsAreWell } from '../support/protocol/doorbells.ts';
import { buildJoiner, handshakeMessages, Joiner } from '../support/protocol/joiner.ts';
import { QEMU, QemuPeer } from '../support/protocol/qemu-peer.ts';
import { until } from '../support/protocol/until.ts';

const SLOTS = 64;
const ROUNDS = 12;

t.test(
  'devices are plugged in and out of living QEMUs while others come and go',
  {
    skip: lacking(QEMU, 'cc'),
  },
  async (t) => {
    const socket = `@ivshmem-hotplug-${process.pid}`;
    const server = await createServer({ regions: [{ name: 'hotplug', socket, size: '1M', slots: SLOTS }] });
    t.teardown(() => server.close());
    const program = buildJoiner();
    t.teardown(() => program.remove());
    const host = await openHost(socket);
    t.teardown(() => host.close());
    const witness = await QemuPeer.start({ socket });
    t.teardown(() => witness.kill());
    const plugged = [await QemuPeer.start({}), await QemuPeer.start({})];
    for (const one of plugged) t.teardown(() => one.kill());
    const members = (): number => server.status().regions[0]!.members.length;

    for (let round = 0; round < ROUNDS; round++) {
      // Somebody left before each plug and each unplug: QEMU aborted on that when servers announced departures.
      const passing = [0, 1].map(() => new Joiner(program, 'hold', socket, handshakeMessages(SLOTS, 2)));
      for (const joiner of passing) await joiner.joined();
      await passing[0]!.kill();
      for (const one of plugged) await one.plug(socket);
      await exchange(plugged[0]!, plugged[1]!);
      await survivorsAreWell([witness, ...plugged], host);
      await passing[1]!.kill();
      for (const one of plugged) await one.unplug();
      await until('only host and witness are left', () => members() === 2);
      for (const one of plugged) t.ok(await one.alive());
      await survivorsAreWell([witness], host);
    }
  },
);

t.test(
  'a QEMU is killed and its slot taken before a survivor is unplugged',
  {
    skip: lacking(QEMU),
  },
  async (t) => {
    const socket = `@ivshmem-unplug-${process.pid}`;
    const server = await createServer({ regions: [{ name: 'unplug', socket, size: '1M' }] });
    t.teardown(() => server.close());
    const survivor = await QemuPeer.start({});
    t.teardown(() => survivor.kill());
    await survivor.plug(socket);
    const victim = await QemuPeer.start({ socket });
    await exchange(survivor, victim);
    const slot = await (await victim.device()).ivPosition();
    await victim.kill();
    await until('the slot is free', () => server.status().regions[0]!.members.length === 1);
    const heir = await QemuPeer.start({ socket });
    t.teardown(() => heir.kill());
    t.equal(await (await heir.device()).ivPosition(), slot, 'the ID is used again');
    await exchange(survivor, heir);
    await survivor.unplug();
    t.ok(await survivor.alive());
    await survivor.plug(socket);
    await exchange(survivor, heir);
  },
);
