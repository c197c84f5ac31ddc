/**
 * A member that counts under a mutex, keeps pieces of the heap in a table, and meets others at a barrier.
 *
 *     sync-program.ts SOCKET ROLE NUMBER ROUNDS
 */
import { openSpace } from '../../../src/dsm/index.ts';
import { isIvshmemError, open } from '../../../src/index.ts';
import { Random } from '../../support/random.ts';
import { clear, OWN, repair, TABLE, TABLE_PIECES, TOTAL } from './sync-layout.ts';

const [socket, role, number, rounds] = process.argv.slice(2);
const me = Number(number);
await using region = await open({ socket: socket!, name: `${role}-${process.pid}` });
await using space = await openSpace(region, 'work');
const heap = space.heap();
const words = new Int32Array(space.buffer, heap.root, TABLE / 4);
const mutex = space.mutex('count');
const random = new Random(process.pid);
const table = heap.root + TABLE + me * TABLE_PIECES * 8;

/** Two words that have to go together: who dies between the two leaves them apart. */
async function count(): Promise<void> {
  using held = await mutex.lock();
  if (held.abandoned) repair(words);
  const [own, total] = [words[OWN + me]!, words[TOTAL]!];
  words[OWN + me] = own + 1;
  if (random.oneIn(8)) await new Promise((resolve) => setImmediate(resolve));
  words[TOTAL] = total + 1;
}

/** Whoever was killed in the middle of a change has the heap until the server has noticed. */
async function patiently(change: () => void): Promise<void> {
  for (;;) {
    try {
      change();
      return;
    } catch (error) {
      if (!isIvshmemError(error, 'ERR_IVSHMEM_HEAP_BUSY')) throw error;
      await heap.whenFree();
    }
  }
}

function churn(): Promise<void> {
  const at = table + random.below(TABLE_PIECES) * 8;
  return patiently(() => {
    const piece = new Uint32Array(space.buffer, at, 1)[0]!;
    if (piece !== 0) heap.free(piece, { from: at });
    else heap.alloc(1 + random.below(300), { into: at });
  });
}

if (role === 'hold') {
  await mutex.lock();
  words[OWN + me]!++;
  console.log('holds');
  setInterval(() => void churn(), 1);
  await new Promise(() => {});
}
if (role === 'meet' || role === 'stay') {
  const barrier = space.barrier('meet', { parties: 3 });
  console.log('there');
  try {
    for (let round = 1; round <= Number(rounds); round++) {
      await barrier.arrive();
      Atomics.add(words, OWN + me, 1);
      await barrier.arrive();
      for (let other = 0; other < 3; other++)
        if (Atomics.load(words, OWN + other) !== round) throw new Error(`${other} is not in round ${round}`);
      await barrier.arrive();
    }
    // The one that stays away does not come: they wait until they hear of it.
    if (role === 'stay') await new Promise(() => setInterval(() => {}, 1000));
    await barrier.arrive();
  } catch (error) {
    console.log((error as { code?: string }).code ?? error);
  }
} else {
  for (let round = 0; round < Number(rounds); round++) {
    await count();
    await churn();
  }
  await patiently(() => clear(heap, space.buffer, table));
}
