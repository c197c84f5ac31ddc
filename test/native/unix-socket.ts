import { closeSync, fstatSync, mkdtempSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { binding } from '../../src/native/binding.ts';

let sockets = 0;
const open = new Set<number>();

/** Closes one end early; its number may come back for something else. */
function shut(fd: number): void {
  open.delete(fd);
  closeSync(fd);
}

/** [client, server] of one connection; closed at the end of the test. */
function pair(t: Test): [number, number] {
  const name = `@ivshmem-test-${process.pid}-${sockets++}`;
  const listener = binding.socketListen(name, 4);
  t.equal(binding.socketAccept(listener), -1);
  const client = binding.socketConnect(name);
  const server = binding.socketAccept(listener);
  closeSync(listener);
  t.ok(server >= 0);
  open.add(client).add(server);
  t.teardown(() => {
    for (const fd of [client, server]) if (open.has(fd)) shut(fd);
  });
  return [client, server];
}

const openFds = () => readdirSync('/proc/self/fd').length;

function encoded(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return bytes;
}

t.test('integers of every size arrive, in order', async (t) => {
  const [client, server] = pair(t);
  t.equal(binding.receiveMessage(server), null);
  const values = [0, -1, 1, 42, -(2 ** 31), 2 ** 32, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
  for (const value of values) t.equal(binding.sendMessage(client, value, -1), true);
  for (const value of values) t.same(binding.receiveMessage(server), { value, fd: -1 });
  t.equal(binding.receiveMessage(server), null);
  writeSync(client, encoded(-(2n ** 63n)));
  t.same(binding.receiveMessage(server), { value: -(2 ** 63), fd: -1 });
});

t.test('a descriptor travels with its message', async (t) => {
  const [client, server] = pair(t);
  const eventfd = binding.eventfdCreate();
  binding.sendMessage(client, 7, eventfd);
  binding.sendMessage(client, 8, -1);
  const message = binding.receiveMessage(server);
  t.equal(message?.value, 7);
  const received = message?.fd ?? -1;
  t.not(received, eventfd);
  binding.eventfdSignal(received);
  t.equal(binding.eventfdDrain(eventfd), 1);
  t.same(binding.receiveMessage(server), { value: 8, fd: -1 });
  closeSync(received);
  closeSync(eventfd);
});

t.test('fragments are put together per descriptor', async (t) => {
  const [client, server] = pair(t);
  const [otherClient, otherServer] = pair(t);
  const bytes = Buffer.concat([encoded(123456789012345n), encoded(-5n)]);
  for (let at = 0; at < bytes.length; at++) {
    writeSync(client, bytes, at, 1);
    if (at === 3) {
      binding.sendMessage(otherClient, 99, -1);
      t.same(binding.receiveMessage(otherServer), { value: 99, fd: -1 });
    }
    const got = binding.receiveMessage(server);
    if (at === 7) t.same(got, { value: 123456789012345, fd: -1 });
    else if (at === 15) t.same(got, { value: -5, fd: -1 });
    else t.equal(got, null);
  }
});

t.test('a descriptor that comes in the middle of a message is kept with it', async (t) => {
  const [client, server] = pair(t);
  const eventfd = binding.eventfdCreate();
  const before = openFds();
  writeSync(client, encoded(1n), 0, 4);
  t.equal(binding.receiveMessage(server), null);
  // 8 more bytes with a descriptor: the second half of message 1 and the first half of message 2.
  binding.sendMessage(client, 0, eventfd);
  const message = binding.receiveMessage(server);
  t.ok((message?.fd ?? -1) >= 0);
  closeSync(message?.fd ?? -1);
  t.equal(binding.receiveMessage(server), null);
  shut(client);
  t.equal(binding.receiveMessage(server), undefined, 'the end, in the middle of a message');
  t.equal(binding.receiveMessage(server), undefined);
  t.equal(openFds(), before - 1, 'nothing is left but the closed client');
  closeSync(eventfd);
});

t.test('what an end left unfinished does not reach the next socket with its number', async (t) => {
  const [client, server] = pair(t);
  writeSync(client, encoded(-1n), 0, 5);
  t.equal(binding.receiveMessage(server), null);
  shut(server);
  const name = `@ivshmem-test-${process.pid}-reuse`;
  const listener = binding.socketListen(name, 1);
  const clients = [binding.socketConnect(name)];
  let reused = binding.socketAccept(listener);
  const others: number[] = [listener];
  while (reused !== server && clients.length < 16) {
    others.push(reused);
    clients.push(binding.socketConnect(name));
    reused = binding.socketAccept(listener);
  }
  // The number went to the listener, or comes back here: either way the message must be whole.
  binding.sendMessage(clients.at(-1) ?? -1, 3, -1);
  t.same(binding.receiveMessage(reused), { value: 3, fd: -1 });
  for (const fd of [...clients, ...others, reused]) closeSync(fd);
});

t.test('a full socket takes what fits and says so', async (t) => {
  const [client, server] = pair(t);
  binding.socketSendBuffer(client, 4096);
  const values = Array.from({ length: 5000 }, (_, i) => i);
  const none = values.map(() => -1);
  const taken = binding.sendMessages(client, values, none);
  t.ok(taken > 0 && taken < 5000, `${taken} taken`);
  t.equal(binding.sendMessages(client, values, none), 0);
  t.equal(binding.sendMessage(client, 1, -1), false);
  for (let i = 0; i < taken; i++) {
    const message = binding.receiveMessage(server);
    if (message?.value !== i) t.fail(`message ${i} is ${message?.value}`);
  }
  t.equal(binding.receiveMessage(server), null);
});

t.test('a burst passes a descriptor with each message that has one', async (t) => {
  const [client, server] = pair(t);
  const eventfds = [binding.eventfdCreate(), binding.eventfdCreate()];
  const values = Array.from({ length: 130 }, (_, i) => i - 1);
  const fds = values.map((_, i) => (i % 3 === 0 ? -1 : (eventfds[i % 2] ?? -1)));
  t.equal(binding.sendMessages(client, values, fds), 130);
  for (let i = 0; i < 130; i++) {
    const message = binding.receiveMessage(server);
    if (message?.value !== i - 1 || message.fd >= 0 !== (i % 3 !== 0)) t.fail(`message ${i}`);
    if (message && message.fd >= 0) closeSync(message.fd);
  }
  for (const fd of eventfds) closeSync(fd);
});

t.test('paths, credentials and errors', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'ivshmem-socket-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const path = join(dir, 's');
  const listener = binding.socketListen(path, 1);
  t.ok(fstatSync(listener).isSocket());
  t.throws(() => binding.socketListen(path, 1), { code: 'EADDRINUSE', syscall: 'bind' });
  const client = binding.socketConnect(path);
  t.throws(() => readSync(client, Buffer.alloc(1)), { code: 'EAGAIN' }, 'non-blocking');
  t.same(binding.socketCredentials(client), {
    pid: process.pid,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
  });
  closeSync(listener);
  t.throws(() => binding.sendMessage(client, 1, -1), { code: 'EPIPE', syscall: 'sendmsg' });
  closeSync(client);
  t.throws(() => binding.socketConnect(path), { code: 'ECONNREFUSED', syscall: 'connect' });
  t.throws(() => binding.socketConnect(join(dir, 'none')), { code: 'ENOENT', syscall: 'connect' });
  t.throws(() => binding.receiveMessage(client), { code: 'EBADF', syscall: 'recvmsg' });
  for (const wrong of ['', '@', 'a\0b', 'x'.repeat(200)]) {
    t.throws(() => binding.socketConnect(wrong), { name: /TypeError|RangeError/ });
  }
});
