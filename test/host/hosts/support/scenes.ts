import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import type { SpreadSpace } from '../../../../src/dsm/index.ts';
import { until } from '../../../support/protocol/until.ts';

export const PAGE = 4096;

/** Adds to a word of a page, in a loop, and keeps what went wrong. */
export class Load {
  rounds = 0;
  /** Codes of what was not done. */
  readonly errors: string[] = [];
  #on = true;
  readonly #ended: Promise<void>;

  /** Ends with the test, however that ends. */
  constructor(t: Test, space: SpreadSpace, page: number, word: number) {
    this.#ended = this.#run(space, page, word);
    t.teardown(() => {
      this.#on = false;
    });
  }

  async stop(): Promise<void> {
    this.#on = false;
    await this.#ended;
  }

  async #run(space: SpreadSpace, page: number, word: number): Promise<void> {
    while (this.#on) {
      try {
        const pin = await space.acquire(page * PAGE, PAGE, 'write');
        new Uint32Array(space.buffer, page * PAGE)[word]! += 1;
        pin.release();
        this.rounds++;
      } catch (error) {
        this.errors.push((error as NodeJS.ErrnoException).code ?? String(error));
      }
      await delay(2);
    }
  }
}

/** Stores to the first word of a page. */
export async function store(space: SpreadSpace, page: number, value: number): Promise<void> {
  const pin = await space.acquire(page * PAGE, PAGE, 'write');
  new Uint32Array(space.buffer, page * PAGE)[0] = value;
  pin.release();
}

export async function load(space: SpreadSpace, page: number): Promise<number> {
  const pin = await space.acquire(page * PAGE, PAGE, 'read');
  const value = new Uint32Array(space.buffer, page * PAGE)[0]!;
  pin.release();
  return value;
}

/** What becomes of a page that is wanted, however long that takes: its value, or a code; and when that is known. */
export async function outcome(
  space: SpreadSpace,
  page: number,
): Promise<{ is: number | string; at: bigint }> {
  for (;;) {
    const is = await load(space, page).catch((error: NodeJS.ErrnoException) => error.code ?? String(error));
    if (is !== 'ERR_IVSHMEM_PAGES_SILENT') return { is, at: process.hrtime.bigint() };
  }
}

/** When a storer could store last (Fleet.storer). */
export function lastStore(file: string): bigint {
  return readFileSync(file).readBigUInt64LE();
}

/** Stops a program. Resolves when none of its threads runs any more: the signal is only on its way to them when it is sent. */
export async function standStill(child: ChildProcess): Promise<void> {
  const tasks = `/proc/${child.pid}/task`;
  const stands = (task: string): boolean =>
    / T /.test(readFileSync(`${tasks}/${task}/stat`, 'latin1').replace(/^.*\)/s, ''));
  child.kill('SIGSTOP');
  await until('it stands still', () => readdirSync(tasks).every(stands));
}

/** How a program ended. */
export async function ended(child: ChildProcess): Promise<unknown> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode ?? child.signalCode;
}
