import t, { type Test } from 'tap';
import type { Backend } from '../../src/backend/backend.ts';
import { openHost } from '../../src/backend/host.ts';
import { createServer, type IvshmemServer, type MemberStatus } from '../../src/host/index.ts';
import { lacking } from '../support/native-build.ts';
import { exchangeWithHost, survivorsAreWell } from '../support/protocol/doorbells.ts';
import { buildJoiner, handshakeMessages, Joiner } from '../support/protocol/joiner.ts';
import { QEMU, QemuPeer } from '../support/protocol/qemu-peer.ts';
import { until } from '../support/protocol/until.ts';

const skip = lacking(QEMU, 'cc');
/** So many messages that no socket buffer takes a whole handshake. */
const SLOTS = 128;
const VECTORS = 16;
const MESSAGES = handshakeMessages(SLOTS, VECTORS);

const program = skip === false ? buildJoiner() : null;
t.teardown(() => program?.remove());

interface Scene {
  readonly socket: string;
  readonly server: IvshmemServer;
  readonly witness: QemuPeer;
  readonly host: Backend;
}

async function scene(t: Test, name: string): Promise<Scene> {
  const socket = `@ivshmem-${name}-${process.pid}`;
  const region = { name, socket, size: '1M', slots: SLOTS, vectors: VECTORS, channels: 1024 };
  const server = await createServer({ regions: [region] });
  t.teardown(() => server.close());
  const witness = await QemuPeer.start({ socket });
  t.teardown(() => witness.kill());
  const host = await openHost(socket);
  t.teardown(() => host.close());
  return { socket, server, witness, host };
}

function join(t: Test, mode: string, socket: string, messages = MESSAGES): Joiner {
  const joiner = new Joiner(program!, mode, socket, messages);
  t.teardown(() => joiner.kill());
  return joiner;
}

function member(server: IvshmemServer, pid: number | undefined): MemberStatus | undefined {
  return server.status().regions[0]!.members.find((one) => one.pid === pid);
}

t.test(
  'a client that hangs in the middle of its handshake delays nobody and loses nothing',
  {
    skip,
  },
  async (t) => {
    const { socket, server, witness, host } = await scene(t, 'hang');
    const late = join(t, 'late', socket);
    await until('the client is stalled', () => (member(server, late.process.pid)?.unsentMessages ?? 0) > 0);
    const prompt = join(t, 'hold', socket);
    t.same(await prompt.joined(), { id: 4, fds: SLOTS * VECTORS + 1 });
    await survivorsAreWell([witness], host);
    t.ok(member(server, late.process.pid)!.unsentMessages > 0, 'it still hangs');
    late.proceed();
    t.same(await late.joined(), { id: 3, fds: SLOTS * VECTORS + 1 });
    t.equal(member(server, late.process.pid)!.unsentMessages, 0);
  },
);

t.test('a client killed while its handshake is stalled gives its slot back', { skip }, async (t) => {
  const { socket, server, witness, host } = await scene(t, 'stalled-death');
  const late = join(t, 'late', socket);
  await until('the client is stalled', () => (member(server, late.process.pid)?.unsentMessages ?? 0) > 0);
  await late.kill();
  await until('the server sees its end', () => server.status().regions[0]!.members.length === 2);
  t.same((await join(t, 'hold', socket).joined()).id, 3);
  await survivorsAreWell([witness], host);
});

t.test('a QEMU stopped by SIGSTOP in its handshake gets everything when it goes on', { skip }, async (t) => {
  const { socket, server, witness, host } = await scene(t, 'sigstop');
  const stopped = await QemuPeer.start({ vectors: VECTORS });
  t.teardown(() => stopped.kill());
  const { pid } = stopped.process;
  await stopped.connectChardev(socket);
  await until('it is stalled', () => (member(server, pid)?.unsentMessages ?? 0) > 0);
  stopped.process.kill('SIGSTOP');
  await survivorsAreWell([witness], host);
  t.same((await join(t, 'hold', socket).joined()).id, 4);
  t.ok(member(server, pid)!.unsentMessages > 0);
  stopped.process.kill('SIGCONT');
  await stopped.plugConnected();
  await until('it has taken everything', () => member(server, pid)!.unsentMessages === 0);
  await exchangeWithHost(stopped, host, VECTORS);
  await survivorsAreWell([witness, stopped], host);
});

t.test('a client that closes in the middle of its handshake', { skip }, async (t) => {
  const { socket, server, witness, host } = await scene(t, 'close');
  for (const messages of [0, 1, 2, 3, 10, 500]) {
    const leaver = join(t, 'part', socket, messages);
    await leaver.ended();
    t.equal(leaver.process.exitCode, 0);
  }
  await until('all are gone', () => server.status().regions[0]!.members.length === 2);
  await survivorsAreWell([witness], host);
});

t.test('a client that sends garbage and descriptors', { skip }, async (t) => {
  const { socket, server, witness, host } = await scene(t, 'garbage');
  const chatter = join(t, 'chatter', socket);
  await chatter.joined();
  await survivorsAreWell([witness], host);
  t.ok(chatter.running, 'it is ignored, not hung up on');
  t.same((await join(t, 'hold', socket).joined()).id, 4);
  await chatter.kill();
  await until('its end is seen', () => member(server, chatter.process.pid) === undefined);
  await survivorsAreWell([witness], host);
});
