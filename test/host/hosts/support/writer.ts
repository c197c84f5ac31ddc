import type { Test } from 'tap';
import type { SpreadSpace } from '../../../../src/dsm/index.ts';
import { isIvshmemError } from '../../../../src/errors/index.ts';
import { PAGE } from './scenes.ts';

/** Adds to a word of its own in pages that others store to as well, flushes and refreshes, and keeps what went wrong. */
export class Writer {
  rounds = 0;
  /** Those that a flush was answered for. */
  flushed = 0;
  readonly errors: string[] = [];
  /** What was not as it had been left. */
  wrong = 0;
  #on = true;
  readonly #ended: Promise<void>;

  /** Ends with the test, however that ends. */
  constructor(t: Test, space: SpreadSpace, pages: readonly number[], word: number, before?: Writer) {
    this.rounds = before?.rounds ?? 0;
    this.#ended = this.#run(space, pages, word);
    t.teardown(() => {
      this.#on = false;
    });
  }

  async stop(): Promise<void> {
    this.#on = false;
    await this.#ended;
  }

  async #run(space: SpreadSpace, pages: readonly number[], word: number): Promise<void> {
    while (this.#on) {
      try {
        for (const page of pages) {
          using _ = await space.acquire(page * PAGE, PAGE, 'write');
          const words = new Uint32Array(space.buffer, page * PAGE, PAGE / 4);
          if (words[word] !== this.rounds) this.wrong++;
          words[word] = this.rounds + 1;
        }
        this.rounds++;
        await space.flush();
        this.flushed = this.rounds;
        await space.refresh();
      } catch (error) {
        this.errors.push((error as NodeJS.ErrnoException).code ?? String(error));
        if (!isIvshmemError(error, 'ERR_IVSHMEM_PAGES_LOST')) return;
      }
    }
  }
}
