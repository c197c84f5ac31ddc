import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { binding, type LoopWaiter, type Mapping } from '../../src/native/binding.ts';
import { until } from './fixtures/until.ts';

interface Bench {
  readonly fd: number;
  readonly bell: number;
  readonly mapping: Mapping;
  readonly words: Int32Array;
  readonly armed: Int32Array;
}

function bench(t: Test): Bench {
  const fd = binding.createMemfd('waiter', 4096, true, false);
  const bell = binding.eventfdCreate();
  const mapping = binding.mapFile(fd, 0, 4096, true);
  t.teardown(() => {
    mapping.close();
    closeSync(fd);
    closeSync(bell);
  });
  return {
    fd,
    bell,
    mapping,
    words: new Int32Array(mapping.buffer, 0, 4),
    armed: new Int32Array(mapping.buffer, 256, 1),
  };
}

function waiterOn(t: Test, on: Bench, onWork: () => void, spinNs = 0, polled = false): LoopWaiter {
  const { words, armed } = on;
  const waiter = new binding.LoopWaiter({
    words,
    armed,
    eventfd: polled ? -1 : on.bell,
    spinNs,
    pollMs: 2,
    onWork,
  });
  t.teardown(() => waiter.close());
  waiter.start();
  return waiter;
}

/** Exchanges all words for 0; their sum. */
const consume = (words: Int32Array) => words.reduce((sum, _, i) => sum + Atomics.exchange(words, i, 0), 0);

t.test('work that is there already, in any word, with microtasks and nextTicks after the call', async (t) => {
  const on = bench(t);
  const order: string[] = [];
  Atomics.store(on.words, 3, 1);
  waiterOn(t, on, () => {
    consume(on.words);
    process.nextTick(() => order.push('tick'));
    queueMicrotask(() => order.push('microtask'));
    order.push('work');
  });
  await until(() => order.length >= 3);
  t.same(order, ['work', 'tick', 'microtask']);
});

t.test('a sleeper is armed, and a bell wakes it', async (t) => {
  const on = bench(t);
  let sum = 0;
  let armed = -1;
  const waiter = waiterOn(t, on, () => {
    sum += consume(on.words);
    armed = Atomics.load(on.armed, 0);
  });
  const child = ring(on, 3);
  await until(() => sum === 3);
  await once(child, 'exit');
  const [, sleeps, bells, spurious] = waiter.statistics();
  t.ok(sleeps! > 0);
  t.equal(bells, 1, 'the child saw armed, cleared it and rang');
  t.equal(spurious, 0);
  t.equal(armed, 0, 'awake: not armed');
});

/** A process that waits until the waiter is armed, stores a word, and rings. */
function ring(on: Bench, value: number): ChildProcess {
  const script = new URL('./fixtures/ring.ts', import.meta.url).pathname;
  return spawn(process.execPath, ['--import', 'tsx', script, String(value)], {
    stdio: ['ignore', 'inherit', 'inherit', on.fd, on.bell],
  });
}

t.test('a bell without work is counted, and told all the same', async (t) => {
  const on = bench(t);
  let calls = 0;
  const waiter = waiterOn(t, on, () => calls++);
  binding.eventfdSignal(on.bell);
  await until(() => calls === 1);
  t.same(waiter.statistics().slice(2), [1, 1]);
});

t.test('a bell of its own counts nowhere, and one with work is served', async (t) => {
  const on = bench(t);
  let sum = 0;
  let calls = 0;
  const waiter = waiterOn(
    t,
    on,
    () => {
      calls++;
      sum += consume(on.words);
    },
    1000,
  );
  for (let i = 0; i < 3; i++) {
    waiter.expectBell();
    binding.eventfdSignal(on.bell);
    // The loop polls before each.
    for (let turns = 0; turns < 3; turns++) await turn();
  }
  t.equal(binding.eventfdDrain(on.bell), 0, 'heard');
  t.same([calls, ...waiter.statistics().slice(2)], [0, 0, 0]);
  waiter.expectBell();
  Atomics.store(on.words, 0, 5);
  binding.eventfdSignal(on.bell);
  await until(() => sum === 5);
  binding.eventfdSignal(on.bell);
  await until(() => waiter.statistics()[3] === 1);
  t.ok(calls >= 2, 'the next one is a bell like others');
});

t.test('without an eventfd it looks now and then and is never armed', async (t) => {
  const on = bench(t);
  let sum = 0;
  const armed = new Set<number>();
  const waiter = waiterOn(
    t,
    on,
    () => {
      sum += consume(on.words);
      armed.add(Atomics.load(on.armed, 0));
    },
    0,
    true,
  );
  waiter.ref();
  for (let i = 1; i <= 3; i++) {
    await delay(5);
    Atomics.store(on.words, 0, i);
    await until(() => Atomics.load(on.words, 0) === 0);
  }
  t.equal(sum, 6);
  t.same([...armed], [0]);
});

t.test('stop and close store armed=0 and end the calls', async (t) => {
  const on = bench(t);
  let calls = 0;
  const waiter = waiterOn(t, on, () => {
    calls++;
    consume(on.words);
  });
  Atomics.store(on.armed, 0, 1);
  waiter.stop();
  waiter.stop();
  t.equal(Atomics.load(on.armed, 0), 0);
  Atomics.store(on.words, 0, 1);
  binding.eventfdSignal(on.bell);
  await until(() => true);
  t.equal(calls, 0);
  waiter.start();
  waiter.start();
  await until(() => calls > 0);
  Atomics.store(on.armed, 0, 1);
  waiter.close();
  waiter.close();
  waiter.stop();
  waiter.ref();
  waiter.unref();
  t.equal(Atomics.load(on.armed, 0), 0);
  t.throws(() => waiter.start(), { code: 'EBADF' });
  t.equal(waiter.statistics().length, 4);
});

t.test('a callback may stop or close its waiter, and close the mapping under it', async (t) => {
  for (const end of ['stop', 'close'] as const) {
    const on = bench(t);
    let calls = 0;
    const waiter = waiterOn(t, on, () => {
      calls++;
      waiter[end]();
    });
    Atomics.store(on.words, 0, 1);
    await until(() => calls > 0);
    await until(() => true);
    t.equal(calls, 1, end);
  }
  const on = bench(t);
  let calls = 0;
  waiterOn(t, on, () => {
    on.mapping.close();
    calls++;
  });
  Atomics.store(on.words, 0, 1);
  await until(() => calls > 2);
  t.equal(on.words.length, 0, 'detached; the waiter still looks at its own hold of the memory');
});

t.test('memory that is not a Mapping may be detached or shrunk under the waiter', async (t) => {
  const on = bench(t);
  let calls = 0;
  let moved = new ArrayBuffer(0);
  const plain = new ArrayBuffer(1 << 20);
  const words = new Int32Array(plain);
  waiterOn(t, { ...on, words, armed: words.subarray(100, 101) }, () => {
    calls++;
    moved = structuredClone(plain, { transfer: [plain] });
    moved = new ArrayBuffer(0);
  });
  words[5] = 1;
  await until(() => calls > 0);
  await until(() => moved.byteLength === 0);
  t.equal(calls, 1);
});

for (const consumed of [true, false]) {
  const words = consumed ? 'are set again at once' : 'are never cleared';
  t.test(`words that ${words} do not starve the loop`, async (t) => {
    const on = bench(t);
    let calls = 0;
    let server = createServer((socket) => socket.end('served'));
    server = server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => server.close());
    waiterOn(
      t,
      on,
      () => {
        calls++;
        if (consumed) consume(on.words);
        Atomics.store(on.words, 1, 1);
      },
      100_000,
    );
    Atomics.store(on.words, 1, 1);
    for (let i = 0; i < 5; i++) {
      await delay(1);
      await turn();
      const { port } = server.address() as { port: number };
      const socket = connect(port, '127.0.0.1').setEncoding('utf8');
      const [data] = await once(socket, 'data');
      t.equal(data, 'served');
      socket.destroy();
    }
    t.ok(calls > 0, `${calls} calls`);
  });
}

t.test('what onWork throws is an uncaughtException, and the waiter goes on', async (t) => {
  const script = new URL('./fixtures/throwing.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, ['--import', 'tsx', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  await once(child, 'close');
  t.equal(child.exitCode, 0);
  t.equal(output, 'caught 1\ncaught 2\ncaught 3\n');
});

t.test('asleep it costs no wake-ups and no processor time', async (t) => {
  const on = bench(t);
  let calls = 0;
  const waiter = waiterOn(t, on, () => calls++, 50_000);
  waiter.ref();
  await until(() => true);
  const before = waiter.statistics();
  const cpu = process.cpuUsage();
  await delay(1000);
  const used = process.cpuUsage(cpu);
  const after = waiter.statistics();
  t.equal(calls, 0);
  t.same(after.slice(2), [0, 0]);
  t.ok(after[1]! - before[1]! <= 10, `${after[1]! - before[1]!} sleeps in the second`);
  t.ok(used.user + used.system < 500_000, `${used.user + used.system} us of processor time`);
});
