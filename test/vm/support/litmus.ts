/** What two processors may show each other, tried out in memory that both have. */

export const ROUNDS = 200;
const WORDS = 8;
/** Places in the space, in words. */
export const WORK = {
  total: 0,
  /** One each, on lines of their own. */
  progress: [16, 32],
  flags: [48, 64],
  payload: [80, 96],
  /** Store buffering: what each side stores, and what it saw of the other. */
  stored: [1024, 1024 + ROUNDS],
  seen: [2048, 2048 + ROUNDS],
} as const;
export const WORK_BYTES = 4 * (2048 + 2 * ROUNDS);

const DEADLINE_MS = 150_000;

/** Spins, for both sides have to be in the same few instructions. Throws after the deadline. */
function wait(words: Int32Array, at: number, value: number): void {
  const deadline = Date.now() + DEADLINE_MS;
  for (let spins = 1; Atomics.load(words, at) < value; spins++)
    if (spins % 4096 === 0 && Date.now() > deadline) throw new Error(`word ${at} does not become ${value}`);
}

/** Both store, then both load: with sequential consistency one of them sees the other's store. */
export function buffering(words: Int32Array, side: number): void {
  const [mine, theirs] = [side, 1 - side];
  for (let round = 0; round < ROUNDS; round++) {
    Atomics.store(words, WORK.progress[mine]!, round + 1);
    wait(words, WORK.progress[theirs]!, round + 1);
    Atomics.store(words, WORK.stored[mine]! + round, 1);
    words[WORK.seen[mine]! + round] = 1 + Atomics.load(words, WORK.stored[theirs]! + round);
  }
}

/** Rounds in which neither saw the other, and those that did not take place. */
export function unseen(words: Int32Array): { neither: number; missing: number } {
  let [neither, missing] = [0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    const [one, other] = WORK.seen.map((at) => words[at + round]!);
    if (one === 0 || other === 0) missing++;
    else if (one === 1 && other === 1) neither++;
  }
  return { neither, missing };
}

/** Plain words before an atomic flag, to and fro: who sees the flag sees the words. How many were wrong. */
export function passing(words: Int32Array, side: number): number {
  const [mine, theirs] = [side, 1 - side];
  let wrong = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    // Side 0 begins each round, side 1 answers.
    if (side === 1) wrong += take(words, theirs, round);
    for (let i = 0; i < WORDS; i++) words[WORK.payload[mine]! + i] = round * WORDS + i;
    Atomics.store(words, WORK.flags[mine]!, round);
    if (side === 0) wrong += take(words, theirs, round);
  }
  return wrong;
}

function take(words: Int32Array, from: number, round: number): number {
  wait(words, WORK.flags[from]!, round);
  let wrong = 0;
  for (let i = 0; i < WORDS; i++) if (words[WORK.payload[from]! + i] !== round * WORDS + i) wrong++;
  return wrong;
}
