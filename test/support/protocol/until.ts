import { setTimeout as delay } from 'node:timers/promises';

/** Polls until `condition` holds. Throws after `seconds`, naming what did not come. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  seconds = 30,
): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await delay(5);
  }
}
