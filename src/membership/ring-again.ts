import { isMarked } from '../memory/pending.ts';

const AGAIN_MS = 50;
/** The last look: 2^9 intervals, 25 s. Who has not taken a mark by then has stopped, and finds it without a bell when it goes on. */
const MOST_LOOKS = 512;
const INDICES = 65536;

/**
 * Rings once more for marks that stay. A doorbell can be lost and nobody is told: QEMU takes the eventfds of a device, and those
 * of a peer that has just come, one by one after the guest sees them, and drops a doorbell for one it has not got yet; a member
 * that took `armed` can die before it rings while the server that would ring in its place is away. So whoever rang looks
 * whether its mark was taken, at growing intervals, and rings again. Nothing runs while no mark is outstanding.
 */
export class RingAgain {
  readonly #words: Int32Array;
  readonly #memberBase: (slot: number) => number;
  readonly #ring: (slot: number) => void;
  /** How often each mark was looked at, by slot * INDICES + index. */
  readonly #looks = new Map<number, number>();
  #timer: NodeJS.Timeout | null = null;

  constructor(words: Int32Array, memberBase: (slot: number) => number, ring: (slot: number) => void) {
    this.#words = words;
    this.#memberBase = memberBase;
    this.#ring = ring;
  }

  /** A doorbell was rung for this mark. */
  remember(slot: number, index: number): void {
    this.#looks.set(slot * INDICES + index, 0);
    this.#timer ??= setInterval(() => this.#look(), AGAIN_MS).unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#looks.clear();
  }

  #look(): void {
    for (const [key, before] of this.#looks) {
      const slot = Math.floor(key / INDICES);
      const looks = before + 1;
      if (looks > MOST_LOOKS || !isMarked(this.#words, this.#memberBase(slot), key % INDICES)) {
        this.#looks.delete(key);
        continue;
      }
      this.#looks.set(key, looks);
      // After 1, 2, 4, ... intervals: a peer whose loop is busy is not rung every time.
      if ((looks & (looks - 1)) === 0) this.#ring(slot);
    }
    if (this.#looks.size === 0) this.close();
  }
}
