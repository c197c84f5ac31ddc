import type { Mutex } from '../../src/dsm/index.ts';
import { timeBatches } from '../contestants/batches.ts';

/** Nanoseconds to take and release a lock that nobody else wants; `atomics`: for one compare-and-swap on memory of this process. */
export async function uncontended(ms: number, way: string, mutex?: Mutex): Promise<number[]> {
  const words = new Int32Array(new SharedArrayBuffer(64));
  if (mutex === undefined) {
    let value = 0;
    return timeBatches(ms, (n) => {
      for (let i = 0; i < n; i++) {
        if (Atomics.compareExchange(words, 0, value, value + 1) !== value)
          throw new Error('nobody else stores to it');
        value = (value + 1) | 0;
      }
    });
  }
  if (way === 'awaited')
    return timeBatches(ms, async (n) => {
      for (let i = 0; i < n; i++) {
        const held = await mutex.lock();
        words[0]!++;
        held.release();
      }
    });
  return timeBatches(ms, (n) => {
    for (let i = 0; i < n; i++) {
      if (!mutex.tryLock()) throw new Error('nobody else wants it');
      words[0]!++;
      mutex.unlock();
    }
  });
}
