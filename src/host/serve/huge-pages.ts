import { freemem } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { PAGE_BYTES } from '../../memory/layout.ts';
import { binding } from '../../native/binding.ts';
import type { Log } from '../log.ts';

const BLOCK_BYTES = 2 << 20;
const BLOCK_PAGES = BLOCK_BYTES / PAGE_BYTES;
/** One request of the kernel: some milliseconds, in which whoever touches the memory waits. */
const MOST_BLOCKS = 16;
/** Of the memory that is free: what is given out must not take the last of it by being made huge. */
const MOST_SHARE = 0.5;
/** The kernel cannot do it at all; anything else may go another time, somebody looked at the memory just then or it was short. */
const NEVER = new Set(['EINVAL', 'ENOSYS', 'EOPNOTSUPP']);
/** Until the next try after one that failed; twice as long after each further one, until they are given up. */
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 64_000;

/**
 * Puts the memory of a region into pages of 2 MiB, block by block as it is given out: programs and VMs then find it with a fraction
 * of the page tables. Nothing has to be reserved for it, and where the kernel has none to give, everything works as before.
 */
export class HugePages {
  readonly #memory: ArrayBuffer;
  readonly #blocks: number;
  readonly #log: Log;
  /** By block, 1: it was asked for since it last was a hole. */
  readonly #covered: Uint8Array;
  readonly #wanted = new Set<number>();
  #busy = false;
  #closed = false;
  #wait = FIRST_WAIT_MS;
  #again: NodeJS.Timeout | undefined;

  /** `memory`: a memfd or a file on tmpfs, mapped from its beginning. */
  constructor(memory: ArrayBuffer, log: Log) {
    this.#memory = memory;
    this.#blocks = Math.floor(memory.byteLength / BLOCK_BYTES);
    this.#log = log;
    this.#covered = new Uint8Array(this.#blocks);
  }

  /** These pages are used from now on. */
  take(firstPage: number, pages: number): void {
    const last = Math.min(Math.floor((firstPage + pages - 1) / BLOCK_PAGES), this.#blocks - 1);
    for (let block = Math.floor(firstPage / BLOCK_PAGES); block <= last; block++) this.#want(block);
  }

  /** These pages became a hole: what was huge there is not any more. */
  lose(firstPage: number, pages: number): void {
    const last = Math.min(Math.floor((firstPage + pages - 1) / BLOCK_PAGES), this.#blocks - 1);
    for (let block = Math.floor(firstPage / BLOCK_PAGES); block <= last; block++) {
      this.#covered[block] = 0;
      this.#want(block);
    }
  }

  /** Nothing is asked of the kernel any more; what it is about to do it does. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#again);
    this.#wanted.clear();
  }

  #want(block: number): void {
    if (this.#closed || this.#covered[block] === 1) return;
    this.#wanted.add(block);
    if (this.#busy) return;
    this.#busy = true;
    // After what gave the memory out, and whatever else is given out in this turn.
    setImmediate(() => void this.#work());
  }

  async #work(): Promise<void> {
    while (this.#wanted.size > 0) await this.#cover(...this.#nextRun());
    this.#busy = false;
  }

  /** [first, count] of blocks beside each other, which are not wanted any more. */
  #nextRun(): [number, number] {
    const first = Math.min(...this.#wanted);
    let count = 0;
    while (count < MOST_BLOCKS && this.#wanted.delete(first + count)) count++;
    return [first, count];
  }

  async #cover(first: number, count: number): Promise<void> {
    const bytes = count * BLOCK_BYTES;
    if (bytes > freemem() * MOST_SHARE) return this.#log.debug({ bytes }, 'no huge pages: memory is short');
    this.#covered.fill(1, first, first + count);
    const errno = await binding.collapsePages(this.#memory, first * BLOCK_BYTES, bytes);
    if (this.#closed) return;
    if (errno === 0) {
      this.#wait = FIRST_WAIT_MS;
      return;
    }
    const error = getSystemErrorName(-errno);
    this.#log.debug({ bytes, error }, 'no huge pages');
    if (NEVER.has(error)) return this.close();
    this.#covered.fill(0, first, first + count);
    if (this.#wait > LONGEST_WAIT_MS) return;
    this.#again = setTimeout(() => this.take(first * BLOCK_PAGES, count * BLOCK_PAGES), this.#wait).unref();
    this.#wait *= 2;
  }
}
