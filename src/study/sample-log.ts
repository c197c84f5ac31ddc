import { closeSync, fdatasyncSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { readSamples } from './read.ts';
import { files, type Sample } from './results.ts';

/** samples.jsonl, to which samples are only ever added, each on the disk before the next one is taken. */
export class SampleLog implements Disposable {
  readonly #fd: number;
  /** What was in it already. */
  readonly samples: readonly Sample[];

  /** Opens or makes it; a torn last line of an interrupted run is cut off. @throws IvshmemError when a line is no sample. */
  constructor(folder: string) {
    const file = join(folder, files.samples);
    this.#fd = openSync(file, 'a');
    try {
      const { samples, torn } = readSamples(folder);
      if (torn) truncateSync(file, readFileSync(file).lastIndexOf(0x0a) + 1);
      this.samples = samples;
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /** All of one take at once: what it was planned for first, so that a line torn behind it takes nothing that has to be measured again. */
  add(samples: readonly Sample[]): void {
    writeSync(this.#fd, samples.map((sample) => `${JSON.stringify(sample)}\n`).join(''));
    fdatasyncSync(this.#fd);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
