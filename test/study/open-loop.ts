import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { type Carrier, openLoop } from '../../src/study/end/open-loop.ts';

/** Answers at once, but for one long pause. */
function pausing(pauseAt: number, pauseMs: number): Carrier & { readonly sent: number[] } {
  let answered = (): void => {};
  const sent: number[] = [];
  return {
    sent,
    send: (sequence) => {
      sent.push(sequence);
      if (sequence === pauseAt) {
        // Nothing happens in this thread meanwhile, as in a program that stops to collect garbage.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
      }
      answered();
      return true;
    },
    listen: (tell) => {
      answered = tell;
    },
    end: async () => {},
  };
}

t.test('a pause is in the times of all messages that were due in it', async (t) => {
  const carrier = pausing(20, 50);
  const times = await openLoop(carrier, 1000, 100);
  t.equal(times.count, 100);
  t.same(carrier.sent, [...Array(100).keys()], 'each once, in order');
  // Those of the pause waited 50 ms, 49 ms, ... 1 ms: 30 of 100 at least 20 ms, of which a closed loop would know one.
  t.ok(times.quantile(0.75) >= 20e6, `${times.quantile(0.75)} ns`);
});

t.test('what there was no room for is sent later, and counts from when it was due', async (t) => {
  const carrier = pausing(-1, 0);
  let refused = 0;
  const send = carrier.send.bind(carrier);
  const full: Carrier = {
    ...carrier,
    send: (sequence) => (sequence === 3 && refused++ < 5 ? false : send(sequence)),
  };
  const times = await openLoop(full, 1000, 10);
  t.equal(times.count, 10);
  t.same(carrier.sent, [...Array(10).keys()]);
  t.equal(refused, 6);
});

t.test('a carrier that fails ends it', async (t) => {
  let failed = (_: Error): void => {};
  const carrier: Carrier = {
    send: () => true,
    listen: (_, fail) => {
      failed = fail;
    },
    end: async () => {},
  };
  const running = openLoop(carrier, 1000, 10);
  await delay(1);
  failed(new Error('gone'));
  await t.rejects(running, { message: 'gone' });
});
