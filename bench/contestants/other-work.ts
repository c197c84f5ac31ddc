/**
 * What "keeps serving other work" means in rtt-64-loop: a 1 ms timer that hashes a little. The returned function says how
 * many times it ran, so that a loop that starved it can be told from one that served it.
 */
export function serveOtherWork(): () => number {
  let served = 0;
  let hash = 0;
  setInterval(() => {
    served++;
    for (let i = 0; i < 200; i++) hash = (Math.imul(hash, 31) + i) | 0;
  }, 1);
  return () => served;
}

/** A quarter of the timer's nominal rate is the least that counts as serving. */
export function wasServed(served: number, elapsedMs: number): boolean {
  return served >= elapsedMs / 4;
}
