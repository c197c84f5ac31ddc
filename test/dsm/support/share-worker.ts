/** A worker that attaches a space and does what messages say; what it is asked for blocks it. */
import { parentPort, workerData } from 'node:worker_threads';
import { attachSpace, type Held } from '../../../src/dsm/index.ts';
import { isIvshmemError } from '../../../src/index.ts';
import { BEGUN } from './share-workers.ts';

const space = attachSpace(workerData);
const words = new Int32Array(space.buffer);
const held = new Map<string, Disposable>();

function keep(name: string, lock: Held | undefined): boolean | null {
  if (lock === undefined) return null;
  held.set(name, lock);
  return lock.abandoned;
}

const deeds: Record<string, (...args: never[]) => unknown> = {
  load: (index: number) => words[index],
  store: (index: number, value: number) => Atomics.store(words, index, value),
  lock: (name: string, timeout?: number) => {
    const mutex = space.mutex(name);
    Atomics.add(words, BEGUN, 1);
    return keep(name, mutex.lockSync({ timeout }));
  },
  lockAsync: async (name: string) => keep(name, await space.mutex(name).lock()),
  unlock: (name: string) => {
    held.get(name)![Symbol.dispose]();
    held.delete(name);
  },
  /** Says in memory that it has the lock: whoever asked may not be able to hear it. */
  lockAndStore: (name: string, index: number) => {
    using _lock = space.mutex(name).lockSync();
    Atomics.store(words, index, 1);
  },
  /** Two words that go together only if nobody else was there meanwhile. */
  count: (rounds: number) => {
    const mutex = space.mutex('count');
    for (let round = 0; round < rounds; round++) {
      using _lock = mutex.lockSync();
      const value = words[0]!;
      if (round % 16 === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      words[0] = value + 1;
    }
  },
  read: (name: string, timeout?: number) => keep(name, space.rwlock(name).readSync({ timeout })),
  write: (name: string, timeout?: number) => keep(name, space.rwlock(name).writeSync({ timeout })),
  permit: (name: string, count: number, timeout?: number) =>
    keep(name, space.permits(name, { count }).acquireSync({ timeout })),
  acquire: (name: string, timeout?: number) => space.semaphore(name).acquireSync({ timeout }),
  reach: (name: string, least: number) => {
    const counter = space.counter(name);
    Atomics.add(words, BEGUN, 1);
    return Number(counter.reachSync(least));
  },
  arrive: (name: string, parties: number, timeout?: number) =>
    space.barrier(name, { parties }).arriveSync({ timeout }),
  once: (name: string) => space.once(name).runSync(() => void space.counter('ran').add(1)),
  waitFor: (name: string, timeout?: number) => {
    const mutex = space.mutex('guard');
    using _lock = mutex.lockSync();
    Atomics.store(words, 1, 1);
    const woken = space.condition(name).waitSync(mutex, { timeout });
    return { woken, held: mutex.held };
  },
  alloc: (bytes: number) => space.heap().alloc(bytes),
  state: () => ({ length: space.buffer.byteLength, closed: space.closed }),
  close: () => space.close(),
};

parentPort!.on('message', async ({ id, deed, args }: { id: number; deed: string; args: never[] }) => {
  try {
    parentPort!.postMessage({ id, value: await deeds[deed]!(...args) });
  } catch (error) {
    parentPort!.postMessage({ id, code: isIvshmemError(error) ? error.code : String(error) });
  }
});
parentPort!.postMessage({ id: 0 });
