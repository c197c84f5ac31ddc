import { isMarked } from '../memory/pending.ts';

/** How long after joining a doorbell may be lost (ivshmem spec: a write before set-up is complete is ignored). */
const WINDOW_MS = 3000;
const AGAIN_MS = 50;

/**
 * Rings once more while this member is new. QEMU takes the eventfds of a hot-plugged device one by one after the guest
 * sees it, and drops a doorbell for one it has not got yet, without telling. So for a while after joining we look whether
 * a mark that we rang for is still there, and ring again.
 */
export class RingAgain {
  readonly #words: Int32Array;
  readonly #memberBase: (slot: number) => number;
  readonly #ring: (slot: number) => void;
  readonly #until = performance.now() + WINDOW_MS;
  readonly #marks = new Map<number, { slot: number; index: number }>();
  #timer: NodeJS.Timeout | null = null;

  constructor(words: Int32Array, memberBase: (slot: number) => number, ring: (slot: number) => void) {
    this.#words = words;
    this.#memberBase = memberBase;
    this.#ring = ring;
  }

  /** A doorbell was rung for this mark. */
  remember(slot: number, index: number): void {
    if (performance.now() > this.#until) return;
    this.#marks.set(slot * 65536 + index, { slot, index });
    this.#timer ??= setInterval(() => this.#look(), AGAIN_MS).unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#marks.clear();
  }

  #look(): void {
    for (const [key, { slot, index }] of this.#marks) {
      if (isMarked(this.#words, this.#memberBase(slot), index)) this.#ring(slot);
      else this.#marks.delete(key);
    }
    if (this.#marks.size === 0 || performance.now() > this.#until) this.close();
  }
}
