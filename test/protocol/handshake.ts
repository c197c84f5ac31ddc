import t from 'tap';
import { openHost } from '../../src/backend/host.ts';
import { createServer } from '../../src/host/index.ts';
import { MAGIC_0 } from '../../src/memory/layout.ts';
import { lacking } from '../support/native-build.ts';
import { exchange, exchangeWithHost, survivorsAreWell } from '../support/protocol/doorbells.ts';
import { QEMU, QemuPeer } from '../support/protocol/qemu-peer.ts';

const skip = lacking(QEMU);

t.test('two QEMUs and a host process: IDs, memory, doorbells', { skip }, async (t) => {
  const socket = `@ivshmem-handshake-${process.pid}`;
  const server = await createServer({ regions: [{ name: 'one', socket, size: '1M' }] });
  t.teardown(() => server.close());
  const a = await QemuPeer.start({ socket });
  t.teardown(() => a.kill());
  const b = await QemuPeer.start({ socket });
  t.teardown(() => b.kill());
  const host = await openHost(socket);
  t.teardown(() => host.close());

  const ids = [await (await a.device()).ivPosition(), await (await b.device()).ivPosition(), host.ivPosition];
  t.same(ids, [1, 2, 3]);
  t.equal(await (await a.device()).memory(0), MAGIC_0, 'BAR2 shows the region');
  await exchangeWithHost(a, host);
  await exchangeWithHost(b, host);
  await exchange(a, b);
  await survivorsAreWell([a, b], host);
  const pids = server.status().regions[0]!.members.map(({ pid }) => pid);
  t.same(pids, [a.process.pid, b.process.pid, process.pid]);
});
