/** Longer than any process that waits for it: a timer that is there to be referred to. */
const EVER_MS = 2 ** 31 - 1;

let underWay = 0;
let anchor: NodeJS.Timeout | null = null;

/**
 * A write that cannot be done at once begins (1) or is over (-1). While there is one the process goes on, whether its socket keeps it or not: as
 * with a kernel that has not taken all of it.
 */
export function countWrites(change: 1 | -1): void {
  underWay += change;
  anchor ??= setInterval(() => {}, EVER_MS);
  if (underWay > 0) anchor.ref();
  else anchor.unref();
}
