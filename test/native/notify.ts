import { closeSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { binding } from '../../src/native/binding.ts';

let sockets = 0;
const fresh = (): string => `@ivshmem-notify-test-${process.pid}-${sockets++}`;
const openFds = (): number => readdirSync('/proc/self/fd').length;

t.test('a text, who sent it, and a descriptor', async (t) => {
  const before = openFds();
  const name = fresh();
  const receiver = binding.datagramBind(name);
  t.equal(binding.datagramReceive(receiver), null);
  binding.datagramSend(name, 'READY=1', -1);
  t.same(binding.datagramReceive(receiver), {
    text: 'READY=1',
    fd: -1,
    pid: process.pid,
    uid: process.getuid!(),
  });
  const eventfd = binding.eventfdCreate();
  binding.datagramSend(name, 'FDSTORE=1\nFDNAME=räume', eventfd);
  const message = binding.datagramReceive(receiver)!;
  t.equal(message.text, 'FDSTORE=1\nFDNAME=räume');
  t.not(message.fd, eventfd);
  binding.eventfdSignal(message.fd);
  t.equal(binding.eventfdDrain(eventfd), 1, 'it is the same eventfd');
  for (const fd of [message.fd, eventfd, receiver]) closeSync(fd);
  t.equal(openFds(), before);
});

t.test('a path, and datagrams of the dead', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ivshmem-notify-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'notify');
  const receiver = binding.datagramBind(path);
  t.ok(existsSync(path));
  const long = 'x'.repeat(4096);
  const eventfd = binding.eventfdCreate();
  binding.datagramSend(path, long, eventfd);
  closeSync(eventfd);
  const message = binding.datagramReceive(receiver)!;
  t.equal(message.text, long);
  t.equal(binding.eventfdDrain(message.fd), 0, 'the descriptor outlives its sender');
  closeSync(message.fd);
  closeSync(receiver);
  t.throws(() => binding.datagramSend(path, 'READY=1', -1), { code: 'ECONNREFUSED' });
});

t.test('wrong arguments', async (t) => {
  t.throws(() => binding.datagramSend('', 'x', -1), RangeError);
  t.throws(() => binding.datagramSend('@', 'x', -1), RangeError);
  t.throws(() => binding.datagramSend('@x', '', -1), RangeError);
  t.throws(() => binding.datagramSend('@x', 'x'.repeat(4097), -1), RangeError);
  t.throws(() => binding.datagramSend(fresh(), 'x', -1), { code: 'ECONNREFUSED' });
  t.throws(() => binding.datagramReceive(1_000_000), { code: 'EBADF' });
  const name = fresh();
  const receiver = binding.datagramBind(name);
  t.throws(() => binding.datagramBind(name), { code: 'EADDRINUSE' });
  t.throws(() => binding.datagramSend(name, 'x', 1_000_000), { code: 'EBADF' });
  closeSync(receiver);
});

t.test('part of a file is given back', async (t) => {
  const fd = binding.createMemfd('hole', 1 << 20, false, false);
  const mapping = binding.mapFile(fd, 0, 1 << 20, true);
  const bytes = new Uint8Array(mapping.buffer).fill(7);
  binding.punchHole(fd, 4096, 8192);
  t.same([bytes[4095], bytes[4096], bytes[12287], bytes[12288]], [7, 0, 0, 7]);
  binding.punchHole(fd, 2 ** 36, 2 ** 36);
  t.throws(() => binding.punchHole(fd, 0, 0), RangeError);
  t.throws(() => binding.punchHole(1_000_000, 0, 1), { code: 'EBADF' });
  mapping.close();
  closeSync(fd);
});
