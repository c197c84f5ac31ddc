/**
 * A member with workers that have its space attached.
 *
 *     share-program.ts SOCKET count WORKERS ROUNDS    each counts in word 0 under a mutex
 *     share-program.ts SOCKET hold INDEX              has the mutex until the word is not 0
 *     share-program.ts SOCKET leave                   a worker has the mutex, for ever
 *     share-program.ts SOCKET store INDEX VALUE       when the word is not 0, stores there
 */
import { openSpace } from '../../../src/dsm/index.ts';
import { open } from '../../../src/index.ts';
import { Hand } from './share-workers.ts';

const [socket, role, ...args] = process.argv.slice(2) as [string, string, ...string[]];
const [first, second] = args.map(Number) as [number, number];
await using region = await open({ socket, name: `share-${process.pid}` });
await using space = await openSpace(region, 'work');
const words = new Int32Array(space.buffer);
const came = async (index: number): Promise<void> => {
  while (Atomics.load(words, index) === 0) await new Promise((resolve) => setTimeout(resolve, 2));
};

if (role === 'count') {
  const hands = await Promise.all(Array.from({ length: first }, () => Hand.start(space.share())));
  await Promise.all(hands.map((hand) => hand.ask('count', second)));
  await Promise.all(hands.map((hand) => hand.end()));
  console.log('counted');
} else if (role === 'hold') {
  const held = await space.mutex('busy').lock();
  console.log('holds');
  await came(first);
  held.release();
} else if (role === 'leave') {
  const hand = await Hand.start(space.share());
  console.log(await hand.ask('lock', 'left'));
  // Awaited: the space would be closed at the end of this module, and the mutex left behind alive.
  await new Promise((resolve) => setTimeout(resolve, 600_000));
} else {
  await came(first);
  Atomics.store(words, first, second);
}
