import { DIRECT_WORDS, MEMBER_W, SUMMARY_WORDS } from './layout.ts';
import { loadAcquire } from './order.ts';

/**
 * The pending words of a member block: how one member tells another that a channel (or, in the server's block, a slot)
 * has work (docs/shared-memory.md, "Notifying a member"). `words` is live shared memory, `base` the word index at
 * which the member block starts in it. Nothing here allocates, and nothing here trusts what it reads: a bit is a hint.
 */

/**
 * Marks `index` as having work. True when the caller MUST ring vector 0 of the member.
 *
 * Precondition: the caller published its work with a sequentially consistent store (Atomics.store, or any Atomics
 * read-modify-write after it). That is the full fence which lets both bits be tested by a load first: whoever clears a
 * bit that we saw set does so after our load, hence looks at the channel after our publication.
 * The summary bit is tested even when the pending bit was set, for its setter may have died between the two.
 *
 * @param index channel number (0 to MAX_CHANNELS - 1), or slot in the server's block; the caller's own, not a peer's
 */
export function post(words: Int32Array, base: number, index: number): boolean {
  const word = index >>> 5;
  const bit = 1 << (index & 31);
  if (word < DIRECT_WORDS) mark(words, base + MEMBER_W.summary + word, bit);
  else {
    mark(words, base + MEMBER_W.pending + word, bit);
    mark(words, base + MEMBER_W.summary + DIRECT_WORDS + (word >>> 5), 1 << (word & 31));
  }
  // Pairs with the store of armed and the re-check of summary in arm(): at least one side sees the other.
  // The load keeps the line shared while the member is awake; only one sender wins the exchange and owes the doorbell.
  const armedAt = base + MEMBER_W.armed;
  return loadAcquire(words, armedAt) !== 0 && Atomics.exchange(words, armedAt, 0) !== 0;
}

function mark(words: Int32Array, at: number, bit: number): void {
  if ((loadAcquire(words, at) & bit) === 0) Atomics.or(words, at, bit);
}

/** Whether `index` is marked and not yet collected. */
export function isMarked(words: Int32Array, base: number, index: number): boolean {
  const word = index >>> 5;
  const at = base + (word < DIRECT_WORDS ? MEMBER_W.summary : MEMBER_W.pending) + word;
  return (loadAcquire(words, at) & (1 << (index & 31))) !== 0;
}

/**
 * Takes every mark and visits its index, ascending. Bounded by MAX_CHANNELS visits per call whatever a peer does.
 * The exchange of a summary word comes before those of its pending words, and those before the visit: the partner of
 * the order in post(). `visit` must not throw, or the marks taken with its index are lost.
 *
 * @returns how many indices were visited
 */
export function collect(words: Int32Array, base: number, visit: (index: number) => void): number {
  let visited = 0;
  for (let s = 0; s < SUMMARY_WORDS; s++) {
    const summaryAt = base + MEMBER_W.summary + s;
    if (loadAcquire(words, summaryAt) === 0) continue;
    const summary = Atomics.exchange(words, summaryAt, 0);
    if (s < DIRECT_WORDS) visited += visitBits(summary, s << 5, visit);
    else visited += collectPending(words, base, summary, (s - DIRECT_WORDS) << 5, visit);
  }
  return visited;
}

function collectPending(
  words: Int32Array,
  base: number,
  summary: number,
  first: number,
  visit: (index: number) => void,
): number {
  let visited = 0;
  for (let left = summary; left !== 0; left &= left - 1) {
    const word = first + lowestBit(left);
    // A bit for a word that holds direct marks says nothing.
    if (word < DIRECT_WORDS) continue;
    visited += visitBits(Atomics.exchange(words, base + MEMBER_W.pending + word, 0), word << 5, visit);
  }
  return visited;
}

function visitBits(bits: number, first: number, visit: (index: number) => void): number {
  let visited = 0;
  for (let left = bits; left !== 0; left &= left - 1, visited++) visit(first + lowestBit(left));
  return visited;
}

/**
 * Announces that the member is about to sleep. True when it may: nothing is marked, and whoever marks something from now
 * on will ring. False when there is work; the member is awake again. Only for the owner of the block.
 */
export function arm(words: Int32Array, base: number): boolean {
  // Sequentially consistent store, then loads: the full fence of the protocol (pairs with post()).
  Atomics.store(words, base + MEMBER_W.armed, 1);
  if (!marked(words, base)) return true;
  Atomics.store(words, base + MEMBER_W.armed, 0);
  return false;
}

/** Whether any summary bit is set. */
export function marked(words: Int32Array, base: number): boolean {
  for (let s = 0; s < SUMMARY_WORDS; s++) {
    if (Atomics.load(words, base + MEMBER_W.summary + s) !== 0) return true;
  }
  return false;
}

/** The position of the lowest set bit of a non-zero word. */
function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}
