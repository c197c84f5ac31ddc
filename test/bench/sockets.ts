import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { body, HttpLoad } from '../../bench/sockets/http-load.ts';
import { answer } from '../../src/study/stream/answering.ts';
import { makePattern, stamp } from '../../src/study/stream/content.ts';
import { checkAnswer, decodeHeader, encodeAnswer, encodeHeader } from '../../src/study/stream/header.ts';
import { LineChecker } from '../../src/study/stream/line-checker.ts';
import { measureStream } from '../../src/study/stream/measuring.ts';
import { moduleOf } from '../../src/study/stream/modules.ts';
import { orders, rowId } from '../../src/study/stream/orders.ts';
import { Random } from '../support/random.ts';

/** `count` messages in one piece. */
function messages(bytes: number, count: number): Buffer {
  const all = Buffer.alloc(bytes * count);
  for (let i = 0; i < count; i++) {
    const words = makePattern(bytes);
    stamp(words, 0, bytes, i);
    Buffer.from(words.buffer).copy(all, i * bytes);
  }
  return all;
}

t.test('content is checked in whatever pieces it comes, at whatever alignment', async (t) => {
  const random = new Random(4);
  for (const bytes of [64, 128, 4096]) {
    const all = messages(bytes, 20);
    for (let run = 0; run < 20; run++) {
      const checker = new LineChecker(bytes);
      let seen = 0;
      for (let at = 0; at < all.length; ) {
        const length = Math.min(all.length - at, 1 + random.below(run < 10 ? 200 : 3 * bytes));
        // An odd start in memory.
        const piece = new Uint8Array(length + 3).subarray(random.below(4)).subarray(0, length);
        piece.set(all.subarray(at, at + length));
        seen += checker.take(piece);
        at += length;
      }
      t.equal(seen, 20);
      t.equal(checker.sequence, 20);
    }
  }
});

t.test('what is looked at and wrong is found', async (t) => {
  const wrong = (at: number): (() => number) => {
    const all = messages(4096, 2);
    all[at]! ^= 1;
    return () => new LineChecker(4096).take(all);
  };
  t.throws(wrong(4096), /message 1 is wrong in line 0/, 'the number in front');
  t.throws(wrong(4092), /message 0 is wrong in line 63/, 'the number at the end');
  t.throws(wrong(4096 + 640), /message 1 is wrong in line 10/, 'a line in between');
  const all = messages(64, 4);
  t.throws(() => new LineChecker(64).take(all.subarray(64)), /message 0 is wrong/, 'one is lost');
});

t.test('a connection says what it is for', async (t) => {
  for (const order of orders) t.strictSame(decodeHeader(Buffer.from(encodeHeader(order))), order);
  t.throws(() => decodeHeader(Buffer.alloc(64, 9)), /no header/);
  checkAnswer(Buffer.from(encodeAnswer()));
  t.throws(() => checkAnswer(Buffer.from(encodeAnswer('on tcp: no-peer'))), /cannot begin: on tcp: no-peer/);
  t.equal(new Set(orders.map(rowId)).size, orders.length, 'every order has an id of its own');
});

t.test('both sides of a sample, over a UNIX socket', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ivshmem-bench-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const module = await moduleOf('net', '', '', []);
  const target = { path: join(folder, 'socket') };
  const server = module.createServer({}, (socket) => answer(module, socket));
  server.listen(target);
  await once(server, 'listening');
  for (const order of orders) {
    const few = order.bytes > 65_536;
    for (const onread of order.what === 'rtt' ? [false] : [false, true]) {
      const side = await measureStream(module, target, order, onread);
      await side.step(few ? 2 : 30);
      await side.step(few ? 3 : 50);
      await side.end();
    }
  }
  server.close();
  await once(server, 'close');
  t.pass('all that was asked for came, and was right');
});

t.test('a peer that goes away, or does not begin, fails a sample', async (t) => {
  let say: Uint8Array | null = encodeAnswer('no path');
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    if (say === null) socket.destroy();
    else socket.write(say);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const module = await moduleOf('net', '', '', []);
  const target = { host: '127.0.0.1', port: (server.address() as net.AddressInfo).port };
  const order = { what: 'feed', bytes: 64 } as const;
  await t.rejects(measureStream(module, target, order, false), /no path/);
  say = null;
  await t.rejects(measureStream(module, target, order, false), /closed|ECONNRESET/);
});

t.test('an HTTP load counts right answers only', async (t) => {
  let page: Buffer = body;
  const server = http.createServer((_, response) => {
    response.setHeader('Content-Length', page.length);
    response.end(page);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const target = { host: '127.0.0.1', port: (server.address() as net.AddressInfo).port };
  const load = await HttpLoad.open(target, 3);
  await load.step(10);
  await load.step(2);
  const [first, ...others] = load.ports;
  await load.reopen([first!], target);
  t.equal(load.ports.length, 3);
  t.notOk(load.ports.includes(first!), 'a new connection');
  t.ok(
    others.every((port) => load.ports.includes(port)),
    'the others stay',
  );
  await load.step(10);
  page = Buffer.from(body);
  page[500]! ^= 1;
  await t.rejects(load.step(5), /an answer is wrong/);
  await load.close();
});
