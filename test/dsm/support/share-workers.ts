import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { SpaceShare } from '../../../src/dsm/index.ts';

const FILE = new URL('./share-worker.ts', import.meta.url).href;

/** The word of the space that counts how often a worker is about to block: it cannot be asked then. */
export const BEGUN = 2;

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly code?: string;
}

/** A thread of this process that has the space attached (share-worker.ts). */
export class Hand {
  readonly worker: Worker;
  readonly #asked = new Map<number, (answer: Answer) => void>();
  #ids = 0;

  static async start(share: SpaceShare): Promise<Hand> {
    const hand = new Hand(share);
    await once(hand.worker, 'message');
    return hand;
  }

  private constructor(share: SpaceShare) {
    const load = `import('tsx/esm/api').then(({ tsImport }) => tsImport('${FILE}', '${FILE}'))`;
    this.worker = new Worker(load, { eval: true, workerData: share });
    this.worker.on('message', (answer: Answer) => this.#asked.get(answer.id)?.(answer));
  }

  /** What it answers: the value, or the code of the error. */
  ask(deed: string, ...args: unknown[]): Promise<unknown> {
    const id = ++this.#ids;
    this.worker.postMessage({ id, deed, args });
    return new Promise((resolve) => {
      this.#asked.set(id, ({ value, code }) => resolve(code ?? value));
    });
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}
