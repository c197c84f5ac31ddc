import { openSpace } from '../../src/dsm/index.ts';
import type { Region } from '../../src/index.ts';
import { timeBatches } from '../contestants/batches.ts';
import { LockDesk, LockGuest } from './message-lock.ts';
import { acceptPartner, apartOver, connectToPartner } from './messages.ts';
import { NAME } from './pair.ts';

/** What two members do to each other. */
export interface Work {
  /** Nanoseconds per operation: `own` of this member's, else of anybody's. */
  measure(ms: number, own: boolean): Promise<number[]>;
  /** The partner, until it is killed. */
  answer(ready: () => void): Promise<void>;
}

/** Where the two count: under the lock, and each for itself. Plain words. */
const [ALL, MINE] = [0, 16] as const;
const SPACE_BYTES = 4096;

/** Both want one lock all the time. */
export async function locksOf(region: Region, way: string): Promise<Work> {
  if (way === 'messages') return messageLocks(region);
  const space = await openSpace(region, NAME, { size: SPACE_BYTES });
  const words = new Int32Array(space.buffer);
  const mutex = space.mutex('m');
  const count = async (member: number): Promise<void> => {
    using _ = await mutex.lock();
    words[ALL]!++;
    words[MINE + 16 * member]!++;
  };
  return {
    async measure(ms, own) {
      const batches = await timeShared(
        ms,
        own,
        () => count(0),
        () => Atomics.load(words, ALL),
      );
      using _ = await mutex.lock();
      const [all, mine, theirs] = [words[ALL]!, words[MINE]!, words[MINE + 16]!];
      if (all !== mine + theirs || theirs === 0) throw new Error(`${mine} and ${theirs} times make ${all}`);
      return batches;
    },
    async answer(ready) {
      ready();
      for (;;) await count(1);
    },
  };
}

async function messageLocks(region: Region): Promise<Work> {
  return {
    async measure(ms, own) {
      const guest = new LockGuest(await connectToPartner(region));
      const once = async (): Promise<void> => {
        await guest.lock();
        guest.unlock();
      };
      return timeShared(ms, own, once, () => guest.total);
    },
    async answer(ready) {
      const desk = new LockDesk(await acceptPartner(region, ready));
      for (;;) {
        await desk.lock();
        desk.unlock();
      }
    },
  };
}

/** As timeBatches; unless `own`, what the partner did meanwhile counts too: `total` is of both. */
async function timeShared(
  ms: number,
  own: boolean,
  once: () => Promise<void>,
  total: () => number,
): Promise<number[]> {
  const shares: number[] = [];
  const batches = await timeBatches(ms, async (n) => {
    const before = total();
    for (let i = 0; i < n; i++) await once();
    shares.push(n / (total() - before));
  });
  // The last steps are the batches; those before them were the warm-up.
  return own ? batches : batches.map((ns, i) => ns * shares.at(i - batches.length)!);
}

/** Both meet, again and again. */
export async function barrierOf(region: Region, way: string): Promise<Work> {
  if (way === 'messages') return messageBarrier(region);
  const space = await openSpace(region, NAME, { size: SPACE_BYTES });
  const barrier = space.barrier('b', { parties: 2 });
  return {
    measure: (ms) =>
      timeBatches(ms, async (n) => {
        for (let i = 0; i < n; i++) await barrier.arrive();
      }),
    async answer(ready) {
      ready();
      for (;;) await barrier.arrive();
    },
  };
}

/** Each tells the other that it has come, and waits to hear the same. */
async function messageBarrier(region: Region): Promise<Work> {
  const [mine, theirs] = [new Uint8Array(4), new Uint8Array(4)];
  return {
    async measure(ms) {
      const { send, receive } = apartOver(await connectToPartner(region), 0);
      return timeBatches(ms, async (n) => {
        for (let i = 0; i < n; i++) {
          await send(mine);
          await receive(theirs);
        }
      });
    },
    async answer(ready) {
      const { send, receive } = apartOver(await acceptPartner(region, ready), 1);
      for (;;) {
        await send(mine);
        await receive(theirs);
      }
    },
  };
}
