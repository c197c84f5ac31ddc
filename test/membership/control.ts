import t, { type Test } from 'tap';
import { IvshmemError } from '../../src/errors/index.ts';
import { ControlClient } from '../../src/membership/control.ts';
import {
  DRAFT_BYTES,
  LAYOUT_MAJOR,
  LAYOUT_MINOR,
  MEMBER_W,
  OP_CLOSE,
  OP_CONNECT,
  OP_DESCRIBE,
  OP_DRAIN,
  OP_GOODBYE,
  OP_HELLO,
  OP_LISTEN,
  OP_REFRESH,
  OP_SUSPECT,
  OP_UNLISTEN,
  STATUS_NAME_TAKEN,
  STATUS_NO_SERVICE,
} from '../../src/memory/layout.ts';
import { readName } from '../../src/memory/names.ts';

const BASE = 1024;
const REQUEST = BASE + MEMBER_W.request;
const REPLY = BASE + MEMBER_W.reply;

function client(seq = 0) {
  const words = new Int32Array(4096);
  words[REPLY] = seq;
  const state = { notified: 0, again: 0, waiting: 0 };
  const control = new ControlClient(
    words,
    BASE,
    '/run/test.sock',
    (again) => {
      if (again) state.again++;
      else state.notified++;
    },
    (change) => {
      state.waiting += change;
    },
  );
  /** Answers the request that is in the mailbox, as the server does. */
  const answer = (status: number, ...results: number[]): void => {
    words.set([status, ...results], REPLY + 1);
    words[REPLY] = words[REQUEST]!;
    control.collectReply();
  };
  /** The argument words. */
  const argument = (at: number): number => words[REQUEST + 2 + at]!;
  const name = (at: number, bytes: number): string => readName(words, REQUEST + 2 + at, bytes);
  const op = (): number => words[REQUEST + 1]!;
  return { words, control, state, answer, argument, name, op };
}

/** Requests start in a microtask: one turn of the loop lets them. */
const started = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('requests are written as docs/shared-memory.md says, replies read back', async (t) => {
  const c = client();
  const hello = c.control.hello('alpha', 77, 3, Uint8Array.of(1, 1, 97));
  await started();
  t.equal(c.op(), OP_HELLO);
  t.equal(c.words[REQUEST], 1);
  t.equal(c.argument(0), (LAYOUT_MAJOR << 16) | LAYOUT_MINOR);
  t.equal(c.argument(1), 77, 'generation');
  t.equal(c.name(2, 32), 'alpha');
  t.equal(c.argument(10), 3, 'backend');
  t.equal(c.argument(11), 3, 'bytes of the draft');
  t.same([...new Uint8Array(c.words.buffer, (BASE + MEMBER_W.draft) * 4, 4)], [1, 1, 97, 0]);
  t.same(c.state, { notified: 1, again: 0, waiting: 1 });
  c.answer(0, 42);
  t.equal(await hello, 42);
  t.same(c.state, { notified: 1, again: 0, waiting: 0 });

  const listen = c.control.listen('echo');
  await started();
  t.equal(c.op(), OP_LISTEN);
  t.equal(c.name(0, 64), 'echo');
  c.answer(0, 5);
  t.equal(await listen, 5);

  const connect = c.control.connect('echo', 'beta', 256, 65536);
  await started();
  t.equal(c.op(), OP_CONNECT);
  t.same([c.argument(0), c.argument(1), c.name(2, 32), c.name(10, 64)], [256, 65536, 'beta', 'echo']);
  c.answer(0, 12, 3);
  t.same(await connect, { channel: 12, generation: 3 });

  const close = c.control.close(12, 3);
  await started();
  t.same([c.op(), c.argument(0), c.argument(1)], [OP_CLOSE, 12, 3]);
  c.answer(0);
  await close;

  const unlisten = c.control.unlisten(5);
  await started();
  t.same([c.op(), c.argument(0)], [OP_UNLISTEN, 5]);
  c.answer(0);
  await unlisten;

  const goodbye = c.control.goodbye(1);
  await started();
  t.same([c.op(), c.argument(0)], [OP_GOODBYE, 1]);
  c.answer(0);
  t.ok(await goodbye);
  t.equal(c.words[REQUEST], 6, 'six requests');
});

t.test('a refusal names its reason and a remedy; an unknown status its number', async (t) => {
  for (const [status, why] of [
    [STATUS_NO_SERVICE, /nobody listens/],
    [STATUS_NAME_TAKEN, /taken/],
    [99, /status 99/],
    [-1, /status -1/],
  ] as const) {
    const c = client();
    const listen = c.control.listen('echo');
    await started();
    c.answer(status);
    await t.rejects(listen, { code: 'ERR_IVSHMEM_REFUSED', message: why });
    t.equal(c.state.waiting, 0);
  }
});

t.test('one request at a time; the others wait their turn, whatever becomes of it', async (t) => {
  const c = client();
  const first = c.control.listen('one');
  const second = c.control.listen('two');
  await started();
  t.equal(c.name(0, 64), 'one');
  c.answer(STATUS_NAME_TAKEN);
  await t.rejects(first, { code: 'ERR_IVSHMEM_REFUSED' });
  await started();
  t.equal(c.name(0, 64), 'two');
  c.answer(0, 8);
  t.equal(await second, 8);
});

t.test('replies nobody waits for are not looked at', async (t) => {
  const c = client(7);
  c.control.collectReply();
  const listen = c.control.listen('echo');
  await started();
  t.equal(c.words[REQUEST], 8, 'goes on from the last reply, so that it cannot be taken for ours');
  c.control.collectReply();
  c.words[REPLY] = 9;
  c.control.collectReply();
  c.answer(0, 3);
  t.equal(await listen, 3);
  c.control.collectReply();
});

t.test('the sequence number wraps at 2^32', async (t) => {
  const c = client(-1);
  const listen = c.control.listen('echo');
  await started();
  t.equal(c.words[REQUEST], 0);
  c.answer(0, 3);
  t.equal(await listen, 3);
});

/** Runs every timeout at once, once asked. */
function stoppedClock(t: Test): () => void {
  const timeouts: (() => void)[] = [];
  const real = globalThis.setTimeout;
  const fake = (callback: () => void, ms: number): NodeJS.Timeout => {
    // Ringing again is not what is staged here.
    if (ms >= 10_000) timeouts.push(callback);
    return real(() => {}, 0);
  };
  globalThis.setTimeout = fake as unknown as typeof setTimeout;
  t.teardown(() => {
    globalThis.setTimeout = real;
  });
  return () => {
    for (const callback of timeouts.splice(0)) callback();
  };
}

t.test('a server that does not answer is an error; a late answer belongs to nobody', async (t) => {
  const ring = stoppedClock(t);
  const c = client();
  const first = c.control.listen('one');
  const second = c.control.listen('two');
  await started();
  ring();
  await t.rejects(first, { code: 'ERR_IVSHMEM_SERVER_SILENT', message: /listen as one.*10 s/s });
  await started();
  t.equal(c.words[REQUEST], 2, 'the next one had its turn');
  c.words[REPLY] = 1;
  c.control.collectReply();
  c.answer(0, 6);
  t.equal(await second, 6);
  ring();
  t.equal(c.state.waiting, 0);
});

t.test('leaving does not ask a server that left the last request unanswered', async (t) => {
  const ring = stoppedClock(t);
  const c = client();
  const silent = c.control.listen('one');
  await started();
  ring();
  await t.rejects(silent, { code: 'ERR_IVSHMEM_SERVER_SILENT' });
  t.notOk(await c.control.goodbye(1));
  t.equal(c.state.notified, 1, 'nothing was sent');
  const listen = c.control.listen('two');
  await started();
  c.answer(0, 1);
  await listen;
  const goodbye = c.control.goodbye(1);
  await started();
  t.equal(c.op(), OP_GOODBYE, 'once it answers again, it is asked again');
  c.answer(0);
  await goodbye;
});

t.test(
  'requests behind one that was not answered wait no longer than it did, and leaving no longer than they',
  { timeout: 10_000 },
  async (t) => {
    const ring = stoppedClock(t);
    const { now } = performance;
    let later = 0;
    performance.now = () => now.call(performance) + later;
    t.teardown(() => {
      performance.now = now;
    });
    const silent = { code: 'ERR_IVSHMEM_SERVER_SILENT' };
    const asking = client();
    const listens = ['one', 'two'].map((name) => t.rejects(asking.control.listen(name), silent));
    const releases = [asking.control.close(7, 1), asking.control.unlisten(2)];
    await started();
    later = 10_000;
    ring();
    await Promise.all(listens);
    await started();
    t.same(
      [asking.state.notified, asking.op()],
      [2, OP_CLOSE],
      'what lets go of something is sent all the same',
    );
    asking.answer(0);
    await started();
    t.equal(asking.op(), OP_UNLISTEN);
    asking.answer(0);
    await Promise.all(releases);

    later = 0;
    const c = client();
    const closes = [1, 2, 3].map((channel) => t.rejects(c.control.close(channel, 1), silent));
    await started();
    later = 4000;
    const goodbye = c.control.goodbye(1);
    later = 10_000;
    ring();
    await Promise.all(closes);
    await started();
    t.same([c.state.notified, c.op()], [2, OP_GOODBYE], 'the other two were not sent any more');
    later = 14_000;
    const late = t.rejects(c.control.listen('late'), silent);
    c.answer(0);
    t.ok(await goodbye, 'who was asked for less time than that has the rest of it');
    await started();
    t.equal(c.name(0, 64), 'late');
    ring();
    await late;
    t.equal(c.state.waiting, 0);
  },
);

t.test('abandon fails the request under way, those in the queue and those to come', async (t) => {
  const c = client();
  const gone = new IvshmemError('ERR_IVSHMEM_DEVICE_REMOVED', { on: 'x' });
  const first = c.control.listen('one');
  const second = c.control.listen('two');
  await started();
  c.control.abandon(gone);
  await t.rejects(first, { code: 'ERR_IVSHMEM_DEVICE_REMOVED' });
  await t.rejects(second, { code: 'ERR_IVSHMEM_DEVICE_REMOVED' });
  await t.rejects(c.control.goodbye(1), { code: 'ERR_IVSHMEM_DEVICE_REMOVED' });
  t.equal(c.state.notified, 1);
  t.equal(c.state.waiting, 0);
});

t.test('what a member says of itself goes through the draft, in the turn of its request', async (t) => {
  const c = client();
  const first = c.control.describe(Uint8Array.of(1, 1, 65));
  const second = c.control.describe(new Uint8Array(DRAFT_BYTES).fill(7));
  await started();
  t.same([c.op(), c.argument(0)], [OP_DESCRIBE, 3]);
  const draft = new Uint8Array(c.words.buffer, (BASE + MEMBER_W.draft) * 4, DRAFT_BYTES);
  t.same([...draft.subarray(0, 4)], [1, 1, 65, 0]);
  c.answer(0);
  await first;
  await started();
  t.equal(c.argument(0), DRAFT_BYTES);
  t.ok(draft.every((byte) => byte === 7));
  t.equal(c.words[BASE + MEMBER_W.draft + DRAFT_BYTES / 4], 0, 'and nothing beyond it');
  c.answer(0);
  await second;
});

t.test('drain, suspect and refresh', async (t) => {
  const c = client();
  for (const [request, op, argument] of [
    [() => c.control.drain(), OP_DRAIN, 0],
    [() => c.control.suspect(500), OP_SUSPECT, 500],
    [() => c.control.refresh(), OP_REFRESH, 0],
  ] as const) {
    const done = request();
    await started();
    t.same([c.op(), c.argument(0)], [op, argument]);
    c.answer(0);
    await done;
  }
});

t.test(
  'the server is rung again while it does not answer, ever less often',
  { timeout: 20_000 },
  async (t) => {
    const c = client();
    const listen = c.control.listen('echo');
    while (c.state.again < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    t.equal(c.state.notified, 1);
    c.answer(0, 4);
    t.equal(await listen, 4);
    const rung = c.state.again;
    await new Promise((resolve) => setTimeout(resolve, 400));
    t.equal(c.state.again, rung, 'not after the answer');
  },
);

t.test('an answer whose doorbell was lost is found all the same', { timeout: 20_000 }, async (t) => {
  const c = client();
  const listen = c.control.listen('echo');
  await started();
  c.words.set([0, 9], REPLY + 1);
  c.words[REPLY] = c.words[REQUEST]!;
  t.equal(await listen, 9);
});
