import t, { type Test } from 'tap';
import { openHost } from '../../src/backend/host.ts';
import { createServer, type IvshmemServer } from '../../src/host/index.ts';
import { lacking } from '../support/native-build.ts';
import { survivorsAreWell } from '../support/protocol/doorbells.ts';
import { QEMU, QemuPeer } from '../support/protocol/qemu-peer.ts';

const skip = lacking(QEMU, 'setpriv', 'prlimit');
const NOBODY = 65534;
const asNobody = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

async function serve(
  t: Test,
  name: string,
  more: object = {},
): Promise<{ socket: string; server: IvshmemServer }> {
  const socket = `@ivshmem-${name}-${process.pid}`;
  const server = await createServer({ regions: [{ name, socket, size: '1M', ...more }] });
  t.teardown(() => server.close());
  return { socket, server };
}

t.test(
  'a foreign user is refused, and QEMU says so and ends',
  {
    skip: skip || (process.getuid!() !== 0 && 'needs root to change the user'),
  },
  async (t) => {
    const { socket, server } = await serve(t, 'foreign');
    const witness = await QemuPeer.start({ socket });
    t.teardown(() => witness.kill());
    const host = await openHost(socket);
    t.teardown(() => host.close());
    const foreign = QemuPeer.spawn({ socket, wrap: asNobody });
    t.teardown(() => foreign.kill());
    t.equal(await foreign.exitCode(), 1);
    t.match(foreign.errors, /server sent version 1001, expecting 0/);
    t.equal(server.status().regions[0]!.members.length, 2);
    await survivorsAreWell([witness], host);
  },
);

t.test(
  'a foreign user on the admission list is let in',
  {
    skip: skip || (process.getuid!() !== 0 && 'needs root to change the user'),
  },
  async (t) => {
    const { socket, server } = await serve(t, 'listed', { admit: [{ uid: 0 }, { uid: 'nobody' }] });
    const foreign = await QemuPeer.start({ socket, wrap: asNobody });
    t.teardown(() => foreign.kill());
    const host = await openHost(socket);
    t.teardown(() => host.close());
    t.equal(server.status().regions[0]!.members[0]!.uid, NOBODY);
    await survivorsAreWell([foreign], host);
  },
);

t.test(
  'a full region refuses cold and hot-plugged devices; a slot that falls free is given',
  {
    skip,
  },
  async (t) => {
    const { socket } = await serve(t, 'full', { slots: 3 });
    const witness = await QemuPeer.start({ socket });
    t.teardown(() => witness.kill());
    const host = await openHost(socket);
    const late = QemuPeer.spawn({ socket });
    t.teardown(() => late.kill());
    t.equal(await late.exitCode(), 1);
    t.match(late.errors, /server sent version 1002, expecting 0/);
    await t.rejects(openHost(socket), { code: 'ERR_IVSHMEM_HOST_REFUSED' });

    const plugged = await QemuPeer.start({});
    t.teardown(() => plugged.kill());
    await t.rejects(plugged.plug(socket), { message: /server sent version 1002, expecting 0/ });
    t.ok(await plugged.alive(), 'the VM that was refused goes on');
    await survivorsAreWell([witness], host);

    const slot = host.ivPosition;
    host.close();
    await plugUntilAdmitted(plugged, socket);
    t.equal(await (await plugged.device()).ivPosition(), slot);
  },
);

t.test('a client that lacks descriptors is refused before it loses one', { skip }, async (t) => {
  const { socket } = await serve(t, 'fds');
  const witness = await QemuPeer.start({ socket });
  t.teardown(() => witness.kill());
  const host = await openHost(socket);
  t.teardown(() => host.close());
  const poor = QemuPeer.spawn({ socket, wrap: ['prlimit', '--nofile=64:64'] });
  t.teardown(() => poor.kill());
  t.equal(await poor.exitCode(), 1, 'ended by itself, not by SIGABRT');
  t.match(poor.errors, /server sent version 1003, expecting 0/);

  const plugged = await QemuPeer.start({ wrap: ['prlimit', '--nofile=64:64'] });
  t.teardown(() => plugged.kill());
  await t.rejects(plugged.plug(socket), { message: /server sent version 1003, expecting 0/ });
  t.ok(await plugged.alive());
  await survivorsAreWell([witness], host);
});

/** The server hears of a departure a moment after it. */
async function plugUntilAdmitted(qemu: QemuPeer, socket: string): Promise<void> {
  for (let attempts = 0; ; attempts++) {
    try {
      await qemu.plug(socket);
      return;
    } catch (error) {
      if (attempts === 50) throw error;
    }
  }
}
