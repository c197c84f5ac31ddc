/**
 * Litmus tests of four members: two store, two load. Each round begins when all four are there, for all have to be in the same few
 * instructions. A member that waits gives its processor away: there may be fewer of them than members.
 */
import { binding } from '../../../src/native/binding.ts';

export const ROUNDS = 100;
/** Stores of each writer in a round of the coherence test. */
const STORES = 4;
const LINE = 16;
/** Words: how far each member is, in each test; IRIW's two places per round; what its readers saw; coherence's place; its readers' logs. */
const PROGRESS = { iriw: 0, coherence: 4 * LINE } as const;
const PLACES = 4096;
const SAW = PLACES + 2 * ROUNDS * LINE;
const PLACE = SAW + 2 * ROUNDS;
const LOGS = PLACE + LINE;
const LOG_WORDS = 1 + 2 * ROUNDS * STORES;
/** Of the words that `members` use. */
export const LITMUS_BYTES = (LOGS + 2 * LOG_WORDS) * 4;

const DEADLINE_MS = 150_000;

function waitUntil(what: string, come: () => boolean): void {
  const deadline = Date.now() + DEADLINE_MS;
  for (let looks = 1; !come(); looks++) {
    if (looks % 32 !== 0) continue;
    binding.yieldProcessor();
    if (Date.now() > deadline) throw new Error(`${what} does not come`);
  }
}

function together(words: Int32Array, progress: number, role: number, round: number): void {
  Atomics.store(words, progress + role * LINE, round);
  for (let other = 0; other < 4; other++)
    waitUntil(
      `member ${other} in round ${round}`,
      () => Atomics.load(words, progress + other * LINE) >= round,
    );
}

/** Independent reads of independent writes. Roles 0 and 1 store to a place each; 2 and 3 wait for one and then look at the other. */
function iriw(words: Int32Array, role: number): void {
  for (let round = 0; round < ROUNDS; round++) {
    const place = (n: number): number => PLACES + (2 * round + n) * LINE;
    together(words, PROGRESS.iriw, role, round + 1);
    if (role < 2) Atomics.store(words, place(role), 1);
    else {
      const [first, second] = [place(role - 2), place(3 - role)];
      waitUntil('a store', () => Atomics.load(words, first) === 1);
      words[SAW + 2 * round + role - 2] = 1 + Atomics.load(words, second);
    }
  }
}

/** Roles 0 and 1 store to one place, each value once; 2 and 3 write down what they see there. */
function coherence(words: Int32Array, role: number): void {
  const { coherence: progress } = PROGRESS;
  const log = LOGS + (role - 2) * LOG_WORDS;
  let count = 0;
  const look = (): void => {
    const value = Atomics.load(words, PLACE);
    if (value === 0 || (count > 0 && words[log + count] === value)) return;
    if (count === LOG_WORDS - 1) throw new Error('more values than were stored');
    words[log + ++count] = value;
  };
  for (let round = 0; round < ROUNDS; round++) {
    together(words, progress, role, 2 * round + 1);
    if (role < 2)
      for (let n = 0; n < STORES; n++) Atomics.store(words, PLACE, 2 * (round * STORES + n) + 2 + role);
    else {
      const done = (writer: number): boolean =>
        Atomics.load(words, progress + writer * LINE) >= 2 * round + 2;
      waitUntil('the end of the stores', () => {
        look();
        return done(0) && done(1);
      });
      look();
    }
    together(words, progress, role, 2 * round + 2);
  }
  if (role >= 2) words[log] = count;
}

/** All that a member does, in its role from 0 to 3. */
export function takePart(words: Int32Array, role: number): void {
  iriw(words, role);
  coherence(words, role);
}

/** IRIW: rounds in which the two readers saw the stores in different orders, and those that did not take place. */
export function disagreed(words: Int32Array): { differently: number; missing: number } {
  let [differently, missing] = [0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    const [one, other] = [words[SAW + 2 * round]!, words[SAW + 2 * round + 1]!];
    if (one === 0 || other === 0) missing++;
    else if (one === 1 && other === 1) differently++;
  }
  return { differently, missing };
}

/** For a test of the check: what a reader (0 or 1) saw. */
export function writeLog(words: Int32Array, reader: number, values: readonly number[]): void {
  words.set([values.length, ...values], LOGS + reader * LOG_WORDS);
}

/** Coherence: how often a value came after one that was stored later, to one reader or compared with the other; values seen by each. */
export function incoherent(words: Int32Array): { backwards: number; crossed: number; seen: number[] } {
  const logs = [0, 1].map((reader) => {
    const log = LOGS + reader * LOG_WORDS;
    return Array.from(words.subarray(log + 1, log + 1 + words[log]!));
  });
  let backwards = 0;
  for (const log of logs)
    for (const writer of [0, 1]) {
      const own = log.filter((value) => value % 2 === writer);
      for (let n = 1; n < own.length; n++) if (own[n]! <= own[n - 1]!) backwards++;
    }
  const places = new Map(logs[1]!.map((value, at) => [value, at]));
  let crossed = 0;
  let last = -1;
  for (const value of logs[0]!) {
    const at = places.get(value);
    if (at === undefined) continue;
    if (at < last) crossed++;
    last = at;
  }
  return { backwards, crossed, seen: logs.map((log) => log.length) };
}
