import type { SpreadSpace } from '../../../src/dsm/index.ts';
import { isIvshmemError } from '../../../src/errors/index.ts';

/** Bytes that no other page has, nor this one with another seed. */
export function pattern(page: number, seed: number, bytes: number): Buffer {
  const words = new Uint32Array(bytes / 4);
  let word = Math.imul(page + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca6b);
  for (let i = 0; i < words.length; i++) {
    // Numerical Recipes' generator.
    word = (Math.imul(word, 1664525) + 1013904223) | 0;
    words[i] = word;
  }
  return Buffer.from(words.buffer);
}

/** Of a page that members count in: word 0 is everybody's, word 1 + index each member's own. */
const MEMBERS = 8;

export interface Tally {
  readonly all: number;
  readonly own: readonly number[];
}

export function tallyOf(page: Buffer): Tally {
  const words = new Int32Array(page.buffer, page.byteOffset, 1 + MEMBERS);
  return { all: words[0]!, own: [...words.subarray(1)] };
}

export interface LoadReport {
  readonly rounds: number;
  /** How often it added to each page. */
  readonly added: readonly number[];
  /** Pages of which it was told that they are lost. */
  readonly lost: readonly number[];
  /** What else went wrong. */
  readonly faults: readonly string[];
}

/** Adds to the counters of pages, one after the other, in an order of its own. */
export class SpreadLoad {
  readonly #space: SpreadSpace;
  readonly #first: number;
  readonly #index: number;
  readonly #added: number[];
  readonly #lost = new Set<number>();
  readonly #faults: string[] = [];
  readonly #ended: Promise<void>;
  #rounds = 0;
  #stopped = false;

  constructor(space: SpreadSpace, first: number, count: number, index: number) {
    this.#space = space;
    this.#first = first;
    this.#index = index;
    this.#added = new Array<number>(count).fill(0);
    this.#ended = this.#run();
  }

  report(): LoadReport {
    const [lost, faults] = [[...this.#lost].sort((a, b) => a - b), this.#faults];
    return { rounds: this.#rounds, added: this.#added, lost, faults };
  }

  async stop(): Promise<LoadReport> {
    this.#stopped = true;
    await this.#ended;
    return this.report();
  }

  async #run(): Promise<void> {
    const { length } = this.#added;
    // Steps without a common divisor with the number of pages: everybody comes to every page.
    const step = 2 * this.#index + 1;
    for (let i = this.#index; !this.#stopped; i = (i + step) % length) {
      if (this.#lost.size === length) break;
      if (!this.#lost.has(this.#first + i)) await this.#add(i);
    }
  }

  async #add(i: number): Promise<void> {
    const { pageBytes, buffer } = this.#space;
    const number = this.#first + i;
    try {
      using _ = await this.#space.acquire(number * pageBytes, pageBytes, 'write');
      const words = new Int32Array(buffer, number * pageBytes, 1 + MEMBERS);
      Atomics.add(words, 1 + this.#index, 1);
      Atomics.add(words, 0, 1);
      this.#added[i]!++;
      this.#rounds++;
    } catch (error) {
      if (isIvshmemError(error, 'ERR_IVSHMEM_PAGES_LOST')) this.#lost.add(number);
      else if (!isIvshmemError(error, 'ERR_IVSHMEM_PAGES_SILENT')) {
        // Silent: the others have not decided yet who is left; it asks again.
        this.#faults.push(String(error));
        this.#stopped = true;
      }
    }
  }
}
