/** What the waiter wants to have heard (expectBell), and milliseconds between two. */
const BELLS = 3;
const EVERY_MS = 20;

/**
 * Rings a few times what a peer would ring, so that the waiter learns what a wake-up costs here: from the device through the interrupt
 * to the loop. `ring` says false when there is nothing to ring any more. Keeps no process alive.
 */
export function learnWakeUp(waiter: { expectBell(): void }, ring: () => boolean, left = BELLS): void {
  if (left === 0) return;
  setTimeout(() => {
    waiter.expectBell();
    if (ring()) learnWakeUp(waiter, ring, left - 1);
  }, EVERY_MS).unref();
}
