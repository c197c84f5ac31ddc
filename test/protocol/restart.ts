import t from 'tap';
import { openHost } from '../../src/backend/host.ts';
import { lacking } from '../support/native-build.ts';
import { survivorsAreWell } from '../support/protocol/doorbells.ts';
import { QEMU, QemuPeer } from '../support/protocol/qemu-peer.ts';
import { until } from '../support/protocol/until.ts';
import { ServerProgram } from '../support/supervised-server.ts';

const KILLS = 3;
const SLOTS = 16;

t.test(
  'QEMUs stay connected over deaths of the server',
  {
    skip: lacking(QEMU),
    timeout: 180_000,
  },
  async (t) => {
    const socket = `@ivshmem-restart-qemu-${process.pid}`;
    const program = await ServerProgram.start(
      socket,
      '--supervised',
      '--size',
      '1M',
      '--slots',
      String(SLOTS),
    );
    t.teardown(() => program.end());
    const host = await openHost(socket);
    t.teardown(() => host.close());
    const qemus: QemuPeer[] = [];
    for (let i = 0; i < 2; i++) {
      const qemu = await QemuPeer.start({ socket });
      t.teardown(() => qemu.kill());
      qemus.push(qemu);
    }
    await survivorsAreWell(qemus, host);
    const before = (await program.status()).members;
    t.equal(before.length, 3);
    for (let kill = 0; kill < KILLS; kill++) {
      await program.killServer();
      t.same((await program.status()).members, before, 'everybody keeps the slot');
      await survivorsAreWell(qemus, host);
      // One that comes later finds and is found by those who were there before.
      const late = await QemuPeer.start({ socket });
      t.teardown(() => late.kill());
      await survivorsAreWell([...qemus, late], host);
      await late.kill();
      await until('its slot is free', async () => (await program.status()).members.length === 3);
    }
    await qemus[0]!.kill();
    await until('a death after a restart is seen', async () => (await program.status()).members.length === 2);
    t.same(program.complaints, []);
  },
);
