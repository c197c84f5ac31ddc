/** A turn of the loop in which writes took so long, ms, and so many bytes, is over for them: the rest of the loop has its turn. */
const LONG_MS = 1;
const MANY_BYTES = 64 << 10;

/** performance.now() of the first write of this turn of the loop; -1: there was none. */
let began = -1;
let written = 0;

/**
 * Calls `done` of a write of `bytes` bytes that the kernel has taken, in this turn of the loop or in the next one. A kernel that takes everything
 * at once lets a program write in every `done`, or at every `drain`, for as long as it likes: then nothing else on the loop comes to
 * its turn, and an offer, or an answer to one, is not heard of before it is too late.
 */
export function inTurn(bytes: number, done: () => void): void {
  const now = performance.now();
  if (began < 0) {
    began = now;
    setImmediate(() => {
      began = -1;
      written = 0;
    });
  }
  written += bytes;
  if (written >= MANY_BYTES && now - began >= LONG_MS) setImmediate(done);
  else done();
}
