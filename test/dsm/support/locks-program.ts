/**
 * One process of a scene with several hosts (locks-scene.ts): a server, or a member that does what lines on standard input say.
 *
 *     locks-program.ts server CONFIG_JSON
 *     locks-program.ts member SOCKET
 */
import { createInterface } from 'node:readline';
import { openSpace } from '../../../src/dsm/index.ts';
import type { Pin } from '../../../src/dsm/spread/pins.ts';
import type { SpreadSpace } from '../../../src/dsm/spread/space.ts';
import { createServer, type ServerConfigInput } from '../../../src/host/index.ts';
import { open } from '../../../src/index.ts';
import type { Consistency } from '../../../src/memory/layout.ts';
import { halo } from './halo.ts';

const [role, argument] = process.argv.slice(2) as [string, string];
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

if (role === 'server') {
  await createServer(JSON.parse(argument) as ServerConfigInput);
  say({ value: 'serves' });
} else await member();

async function member(): Promise<void> {
  const region = await open({ socket: argument, name: `m-${process.pid}`, addresses: [] });
  const held = new Map<string, Disposable>();
  let space: SpreadSpace;
  let pin: Pin;
  const words = (): Int32Array => new Int32Array(space.buffer);

  const deeds: Record<string, (...args: never[]) => unknown> = {
    open: async (name: string, size: number, consistency: Consistency) => {
      space = await openSpace(region, name, { size, spread: true, locks: true, consistency });
    },
    store: (index: number, value: number) => {
      words()[index] = value;
    },
    flush: () => space.flush(),
    refresh: () => space.refresh(),
    /** Has a page to write until `unpin`, which says whether it was here all the time. */
    pin: async (page: number) => {
      pin = await space.acquire(page * 4096, 4096, 'write');
    },
    unpin: () => pin.release(),
    halo: (me: number, parties: number, rounds: number) => halo(space, me, parties, rounds),
    counts: () => space.counts(),
    /** Word 0 is the sum of the words 1024 * who: apart only when somebody died between the two. */
    count: async (who: number, rounds: number) => {
      const mutex = space.mutex('count');
      let abandoned = 0;
      for (let round = 0; round < rounds; round++) {
        using lock = await mutex.lock();
        if (lock.abandoned) abandoned++;
        words()[who * 1024]!++;
        if (round % 8 === 0) await new Promise((resolve) => setImmediate(resolve));
        words()[0]!++;
      }
      return abandoned;
    },
    load: (index: number) => words()[index],
    lock: async (name: string, timeout?: number) => {
      const lock = await space.mutex(name).lock({ timeout });
      if (lock === undefined) return null;
      held.set(name, lock);
      return lock.abandoned;
    },
    unlock: (name: string) => {
      held.get(name)![Symbol.dispose]();
      held.delete(name);
    },
    write: async (name: string) => {
      const lock = await space.rwlock(name).write();
      held.set(name, lock);
      return lock.abandoned;
    },
    read: async (name: string) => {
      const lock = await space.rwlock(name).read();
      held.set(name, lock);
      return lock.abandoned;
    },
    meet: async (parties: number, rounds: number) => {
      const barrier = space.barrier('meet', { parties });
      for (let round = 0; round < rounds; round++) await barrier.arrive();
      return true;
    },
    add: (amount: number) => Number(space.counter('n').add(amount)),
    reach: async (least: number) => Number(await space.counter('n').reach(least)),
    once: () => space.once('once').run(() => space.counter('ran').add(1)),
    ran: () => Number(space.counter('ran').value),
    permit: async () => space.semaphore('permits', { initial: 1 }).acquire(),
    permits: (n: number) => space.semaphore('permits', { initial: 1 }).release(n),
    signal: () => {
      space.condition('condition').notifyAll();
    },
    wait: async () => {
      const mutex = space.mutex('guard');
      using _held = await mutex.lock();
      const woken = space.condition('condition').wait(mutex);
      say({ note: 'waits' });
      return await woken;
    },
    heap: (pieces: number) => {
      const heap = space.heap();
      const got = Array.from({ length: pieces }, () => heap.alloc(100));
      for (const [n, piece] of got.entries()) if (n % 2 === 0) heap.free(piece);
      return heap.check().usedBlocks;
    },
    close: async () => {
      await space.close();
    },
    /** Without a word to the space. */
    leave: () => region.close(),
  };

  say({ value: region.slot });
  for await (const line of createInterface(process.stdin)) {
    const { deed, args } = JSON.parse(line);
    // One does not wait for the other.
    void (async () => deeds[deed]!(...(args as never[])))().then(
      (value) => say({ deed, value }),
      (error) => say({ deed, error: { code: error.code, message: error.message } }),
    );
  }
  await region.close();
}
