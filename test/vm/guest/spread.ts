/**
 * A member with a space that spreads over hosts, in a VM or on a host. Orders come as lines on stdin, `NUMBER WORD ARGUMENTS`; each is
 * answered with a JSON line. Pages are counted from 0.
 *   open NAME BYTES          opens the space, or makes it
 *   fill FIRST COUNT SEED    stores a pattern to pages, as plain memory
 *   verify FIRST COUNT SEED  loads them, as plain memory: how many bytes are wrong
 *   acquire FIRST COUNT      has them here all at once, for a moment
 *   judge FIRST COUNT SEED   acquires each: which are lost, which are wrong
 *   clear FIRST COUNT        stores zeros
 *   load FIRST COUNT INDEX   adds to counters in pages until `stop`; `look` tells how often to which, too
 *   tally FIRST COUNT        acquires each: what its counters say, null for one that is lost
 *   touch PAGE               a plain load, which ends the program if the page is lost
 */
import { createInterface } from 'node:readline';
import { openSpace, type SpreadSpace } from '../../../src/dsm/index.ts';
import { isIvshmemError } from '../../../src/errors/index.ts';
import { open } from '../../../src/index.ts';
import { pattern, SpreadLoad, tallyOf } from './spread-load.ts';

const [name = 'member'] = process.argv.slice(2);
const say = (what: object): void => console.log(JSON.stringify(what));
const region = await open({ name, addresses: [] });
let space: SpreadSpace;
let load: SpreadLoad | null = null;

/** The page's bytes where they are. */
const page = (number: number): Buffer => Buffer.from(space.buffer, number * space.pageBytes, space.pageBytes);

/** What `look` finds in a page; null if it is lost. */
async function inside<T>(number: number, look: (page: number) => T): Promise<T | null> {
  try {
    using _ = await space.acquire(number * space.pageBytes, space.pageBytes, 'read');
    return look(number);
  } catch (error) {
    if (!isIvshmemError(error, 'ERR_IVSHMEM_PAGES_LOST')) throw error;
    return null;
  }
}

/** Of each of the pages. */
async function acquired<T>(first: number, count: number, look: (page: number) => T): Promise<(T | null)[]> {
  const found: (T | null)[] = [];
  for (let number = first; number < first + count; number++) found.push(await inside(number, look));
  return found;
}

const orders: Record<string, (...args: number[]) => object | Promise<object>> = {
  fill(first, count, seed) {
    for (let i = first!; i < first! + count!; i++) page(i).set(pattern(i, seed!, space.pageBytes));
    return { filled: count };
  },
  verify(first, count, seed) {
    let wrong = 0;
    for (let i = first!; i < first! + count!; i++) {
      const expected = pattern(i, seed!, space.pageBytes);
      const got = Buffer.from(page(i));
      if (!got.equals(expected))
        for (const [at, byte] of got.entries()) wrong += Number(byte !== expected[at]);
    }
    return { wrong };
  },
  clear(first, count) {
    for (let i = first!; i < first! + count!; i++) page(i).fill(0);
    return {};
  },
  async acquire(first, count) {
    using _ = await space.acquire(first! * space.pageBytes, count! * space.pageBytes, 'read');
    return {};
  },
  async judge(first, count, seed) {
    const right = (i: number): boolean => page(i).equals(pattern(i, seed!, space.pageBytes));
    const found = await acquired(first!, count!, right);
    const which = (what: boolean | null): number[] =>
      found.flatMap((one, i) => (one === what ? [first! + i] : []));
    return { lost: which(null), wrong: which(false) };
  },
  load(first, count, index) {
    load = new SpreadLoad(space, first!, count!, index!);
    return {};
  },
  async stop() {
    const report = await load!.stop();
    load = null;
    return report;
  },
  look: () => load!.report(),
  tally: async (first, count) => ({ tally: await acquired(first!, count!, (i) => tallyOf(page(i))) }),
  touch: (number) => ({ byte: page(number!)[0] }),
};

say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const [order, word, ...args] = line.split(' ');
  try {
    if (word === 'open') {
      space = await openSpace(region, args[0]!, { size: Number(args[1]), spread: true });
      say({ order: Number(order), pageBytes: space.pageBytes, created: space.created });
    } else say({ order: Number(order), ...(await orders[word!]!(...args.map(Number))) });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    say({ order: Number(order), code, fault: message });
  }
}
await region.close();
