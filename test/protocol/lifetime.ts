import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openHost } from '../../src/backend/host.ts';
import { createServer } from '../../src/host/index.ts';
import { MAGIC_0 } from '../../src/memory/layout.ts';
import { binding } from '../../src/native/binding.ts';
import { lacking } from '../support/native-build.ts';
import { exchange, exchangeWithHost, survivorsAreWell } from '../support/protocol/doorbells.ts';
import { QEMU, QemuPeer } from '../support/protocol/qemu-peer.ts';
import { until } from '../support/protocol/until.ts';

const skip = lacking(QEMU);

t.test('the server dies and is started again', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ivshmem-lifetime-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const socket = join(directory, 'socket');
  const config = { regions: [{ name: 'restart', socket, size: '1M' }] };
  const first = await createServer(config);
  t.teardown(() => first.close());
  const a = await QemuPeer.start({});
  t.teardown(() => a.kill());
  await a.plug(socket);
  const b = await QemuPeer.start({ socket });
  t.teardown(() => b.kill());
  const host = await openHost(socket);
  t.teardown(() => host.close());
  await survivorsAreWell([a, b], host);
  const uuid = await (await a.device()).memory(48);

  await first.close();
  await until('QEMU notices', async () => {
    const devices = await b.qmp.execute<{ label: string; filename: string }[]>('query-chardev');
    return devices.find(({ label }) => label === 'c')!.filename.startsWith('disconnected');
  });
  await survivorsAreWell([a, b], host);
  t.pass('members of a server that is gone keep memory and doorbells');

  const second = await createServer(config);
  t.teardown(() => second.close());
  await survivorsAreWell([a, b], host);
  const fresh = await openHost(socket);
  t.teardown(() => fresh.close());
  t.equal(fresh.ivPosition, 1, 'a fresh region');
  await a.unplug();
  await a.plug(socket);
  t.equal(await (await a.device()).ivPosition(), 2);
  t.equal(await (await a.device()).memory(0), MAGIC_0);
  t.not(await (await a.device()).memory(48), uuid, 'with another uuid');
  await exchangeWithHost(a, fresh);
  t.ok(await b.alive(), 'who stays with the old region is not harmed');
});

t.test('the death of a QEMU is seen, and its slot given again with the next epoch', { skip }, async (t) => {
  const socket = `@ivshmem-death-${process.pid}`;
  const server = await createServer({ regions: [{ name: 'death', socket, size: '1M' }] });
  t.teardown(() => server.close());
  const members = () => server.status().regions[0]!.members;
  const witness = await QemuPeer.start({ socket });
  t.teardown(() => witness.kill());
  const host = await openHost(socket);
  t.teardown(() => host.close());
  for (let epoch = 1; epoch <= 3; epoch++) {
    const victim = await QemuPeer.start({ socket });
    t.match(members()[2], { slot: 3, epoch, pid: victim.process.pid, uid: process.getuid!() });
    await exchange(witness, victim);
    // A doorbell nobody takes must not greet the next holder of the slot.
    victim.process.kill('SIGSTOP');
    host.ring(3, 0);
    await victim.kill();
    await until('its end is seen', () => members().length === 2);
    await survivorsAreWell([witness], host);
  }
  const heir = await openHost(socket);
  t.teardown(() => heir.close());
  t.equal(heir.ivPosition, 3);
  t.equal(binding.eventfdDrain(heir.interrupts[0]!), 0, 'no interrupt of an earlier life');
});

t.test('reset and pause do not end a membership', { skip }, async (t) => {
  const socket = `@ivshmem-reset-${process.pid}`;
  const server = await createServer({ regions: [{ name: 'reset', socket, size: '1M' }] });
  t.teardown(() => server.close());
  const qemu = await QemuPeer.start({ socket });
  t.teardown(() => qemu.kill());
  const host = await openHost(socket);
  t.teardown(() => host.close());
  await exchangeWithHost(qemu, host);
  await qemu.qmp.execute('system_reset');
  qemu.forgetDevice();
  t.equal(await (await qemu.device()).ivPosition(), 1);
  // QEMU was paused (-S) all the time, and takes part nevertheless.
  await exchangeWithHost(qemu, host);
  t.equal(server.status().regions[0]!.members.length, 2);
});

t.test('more and fewer vectors than the server has', { skip }, async (t) => {
  const socket = `@ivshmem-vectors-${process.pid}`;
  const server = await createServer({ regions: [{ name: 'vectors', socket, size: '1M', vectors: 4 }] });
  t.teardown(() => server.close());
  const host = await openHost(socket);
  t.teardown(() => host.close());
  const fewer = await QemuPeer.start({ socket, vectors: 1 });
  t.teardown(() => fewer.kill());
  const more = await QemuPeer.start({ socket, vectors: 8 });
  t.teardown(() => more.kill());
  await exchangeWithHost(fewer, host, 1);
  await exchangeWithHost(more, host, 4);
  await (await more.device()).ring(host.ivPosition, 7);
  await exchange(more, fewer, 1);
  await survivorsAreWell([], host);
  t.ok(await fewer.alive());
  t.ok(await more.alive());
});

t.test('a member cannot shrink the memory under the others', { skip }, async (t) => {
  const socket = `@ivshmem-seal-${process.pid}`;
  const server = await createServer({ regions: [{ name: 'seal', socket, size: '1M' }] });
  t.teardown(() => server.close());
  const qemu = await QemuPeer.start({ socket });
  t.teardown(() => qemu.kill());
  // What a member can do with the descriptor it was given, done with the server's own, which is in this process.
  const descriptor = readdirSync('/proc/self/fd').find((fd) =>
    descriptorTarget(fd).startsWith('/memfd:ivshmem-seal'),
  );
  const file = openSync(`/proc/self/fd/${descriptor}`, 'r+');
  t.teardown(() => closeSync(file));
  t.throws(() => ftruncateSync(file, 4096), { code: 'EPERM' }, 'shrinking is refused');
  t.throws(() => ftruncateSync(file, 2 << 20), { code: 'EPERM' }, 'growing is refused');
  t.equal(await (await qemu.device()).memory(0), MAGIC_0);
});

function descriptorTarget(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return ''; // closed since the listing
  }
}
