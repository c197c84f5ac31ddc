import t, { type Test } from 'tap';
import { batchesOf, timeBatches } from '../../src/study/batches.ts';

/** The clock stands but where `spend` moves it. */
function standingClock(t: Test): (ns: number) => void {
  let now = 0;
  t.intercept(performance, 'now', { value: () => now / 1e6 });
  t.intercept(process.hrtime, 'bigint', { value: () => BigInt(Math.round(now)) });
  return (ns) => {
    now += ns;
  };
}

t.test('batches fill their time', async (t) => {
  const spend = standingClock(t);
  const asked: number[] = [];
  const batches = await timeBatches(100, (n) => {
    asked.push(n);
    spend(n * 1000);
  });
  t.same(batches, [1000, 1000, 1000, 1000, 1000]);
  t.same(asked.slice(-5), [20_000, 20_000, 20_000, 20_000, 20_000]);
});

t.test('a stall in the warm-up, and what lay ready after it, are not the result', async (t) => {
  const spend = standingClock(t);
  let ready = 0;
  let stalled = false;
  const batches = await timeBatches(
    100,
    (n) => {
      if (!stalled) {
        // Much came meanwhile.
        stalled = true;
        ready = 20_000;
        spend(1e9);
        return;
      }
      const waited = Math.max(0, n - ready);
      ready -= n - waited;
      spend(10 + waited * 1000);
    },
    { warmUp: 1, least: 64 },
  );
  t.equal(batches.length, 5);
  for (const ns of batches) t.ok(ns > 900 && ns < 1100, `${ns} ns per operation`);
});

t.test('each batch is asked for as many operations', async (t) => {
  const spend = standingClock(t);
  const batches = await batchesOf((n) => spend(n * 7), 10);
  t.same(batches, [7, 7, 7, 7, 7]);
});
