import t, { type Test } from 'tap';
import { RingAgain } from '../../src/membership/ring-again.ts';
import { MEMBER_W } from '../../src/memory/layout.ts';

/** An interval that passes only when told. */
function clock(t: Test) {
  const intervals = new Set<() => void>();
  const real = { set: globalThis.setInterval, clear: globalThis.clearInterval };
  globalThis.setInterval = ((callback: () => void) => {
    intervals.add(callback);
    const handle = { callback, unref: () => handle };
    return handle;
  }) as unknown as typeof setInterval;
  globalThis.clearInterval = ((handle: { callback: () => void }) => {
    intervals.delete(handle.callback);
  }) as unknown as typeof clearInterval;
  t.teardown(() => {
    globalThis.setInterval = real.set;
    globalThis.clearInterval = real.clear;
  });
  return {
    intervals,
    tick(): void {
      for (const callback of [...intervals]) callback();
    },
  };
}

function again() {
  const words = new Int32Array(4 * 1024);
  const rung: number[] = [];
  const mark = (slot: number, index: number, on: boolean): void => {
    const at = slot * 1024 + MEMBER_W.summary + (index >>> 5);
    words[at] = on ? words[at]! | (1 << (index & 31)) : words[at]! & ~(1 << (index & 31));
  };
  const ringAgain = new RingAgain(
    words,
    (slot) => slot * 1024,
    (slot) => rung.push(slot),
  );
  return { ringAgain, rung, mark };
}

t.test('rings again while the mark is there, and stops when it is taken', async (t) => {
  const time = clock(t);
  const { ringAgain, rung, mark } = again();
  mark(2, 33, true);
  ringAgain.remember(2, 33);
  time.tick();
  time.tick();
  t.same(rung, [2, 2]);
  mark(2, 33, false);
  time.tick();
  t.same(rung, [2, 2]);
  t.equal(time.intervals.size, 0, 'nothing to look for, no timer');
  mark(2, 31, true);
  ringAgain.remember(2, 31);
  time.tick();
  t.same(rung, [2, 2, 2], 'bit 31 is a bit like the others');
});

t.test('at growing intervals, and not for ever', async (t) => {
  const time = clock(t);
  const { ringAgain, rung, mark } = again();
  mark(1, 5, true);
  ringAgain.remember(1, 5);
  for (let look = 1; look <= 8; look++) time.tick();
  t.same(rung, [1, 1, 1, 1], 'after 1, 2, 4 and 8 intervals');
  ringAgain.remember(1, 5);
  time.tick();
  t.equal(rung.length, 5, 'a doorbell of its own begins anew');
  for (let look = 0; look < 1000; look++) time.tick();
  t.equal(rung.length, 14, 'the last after 512');
  t.equal(time.intervals.size, 0, 'it was given up');
});

t.test('close stops it', async (t) => {
  const time = clock(t);
  const { ringAgain, rung, mark } = again();
  mark(1, 5, true);
  ringAgain.remember(1, 5);
  ringAgain.remember(1, 5);
  t.equal(time.intervals.size, 1);
  ringAgain.close();
  ringAgain.close();
  time.tick();
  t.same(rung, []);
});
