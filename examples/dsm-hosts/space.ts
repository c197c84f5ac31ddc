import { setTimeout as delay } from 'node:timers/promises';
import { isIvshmemError, open } from 'ivshmem';
import { openSpace, type SpreadSpace } from 'ivshmem/dsm';

export const NUMBERS = 1 << 20;
/** In pages of their own, behind the numbers: who stores to one of these does not take the others away. */
export const [READY, RESULT] = [NUMBERS * 8, NUMBERS * 8 + 4096];

/** Opens the space that both programs use. Servers that were started a moment ago are still finding each other. */
export async function openNumbers(name: string): Promise<SpreadSpace> {
  const region = await open({ name });
  for (;;) {
    try {
      return await openSpace(region, 'numbers', { size: RESULT + 4096, pageSize: 4096, spread: true });
    } catch (error) {
      if (!isIvshmemError(error, 'ERR_IVSHMEM_REFUSED')) throw error;
      await delay(100);
    }
  }
}

/** Until the word at `at` is not 0. Looking costs nothing as long as nobody stores to its page. */
export async function notZero(space: SpreadSpace, at: number): Promise<void> {
  for (const word = new Int32Array(space.buffer, at, 1); Atomics.load(word, 0) === 0; ) await delay(10);
}
