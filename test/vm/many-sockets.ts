/** A thousand connections between two VMs: all on shared memory at once, fair to each other, and their memory back. */
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { cable } from '../../qemu/network.ts';
import { guestProgram } from '../../qemu/product.ts';
import type { Vm } from '../../qemu/vm.ts';
import { until } from '../support/protocol/until.ts';
import { Fleet, lastJson } from './support/fleet.ts';

t.setTimeout(840_000);
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';
const MANY = 1000;
/** Messages that each of them has back at least. */
const ROUNDS = 5;
const PORT = 9000;
/** With every processor emulated and others at work. */
const timeout = 600_000;
const PATIENCE_S = 180;
const program = fileURLToPath(new URL('guest/programs/many-sockets.ts', import.meta.url));

t.test(`${MANY} connections between two VMs`, { skip }, async (t) => {
  // One member's channels take most of it, and those that came to nothing are there a little longer.
  const region = { quota: { heap: 1 }, channels: 2 * MANY };
  const fleet = await Fleet.create(t, 128 << 20, { 'many-sockets': program }, region);
  const network = cable(fleet.directory);
  const [a, b] = (await Fleet.together(
    () => fleet.bootBound('server', 'vfio-pci', { network: network[0] }),
    () => fleet.bootBound('client', 'vfio-pci', { network: network[1] }),
  )) as [Vm, Vm];
  const server = a.spawn(guestProgram('many-sockets', 'serve', `${PORT}`), { user: 'app' });
  await server.waitFor(/^listening$/m, timeout);
  const free = (): number => fleet.server.status().regions[0]!.freeHeapBytes;
  const before = free();

  const words = guestProgram('many-sockets', 'call', '10.77.0.1', `${PORT}`, `${MANY}`, `${ROUNDS}`);
  const { status, stdout, stderr } = await b.run(words, { user: 'app', timeout });
  t.comment(stderr);
  t.equal(status, 0, 'the program came to its end');
  const said = lastJson<Record<string, number>>(stdout);
  t.comment(JSON.stringify(said));
  t.match(said, { onSharedMemory: MANY, wrong: 0, errors: [] });
  t.ok(said.most! <= 4 * said.least!, `${said.least} to ${said.most} messages each: nobody is left behind`);
  await until('all channel memory to be back', () => free() >= before, PATIENCE_S);
  server.end();
  t.equal((await server.wait()).status, 0);
  t.strictSame(await fleet.finish(), [], 'no QEMU is left');
});
