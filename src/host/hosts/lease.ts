/**
 * What becomes of a lease, in twelfths of it since this host asked for it:
 *  7: members have no mappings any more, whether or not their host's server still runs
 *  8: the host takes everything from its members, and fails what they ask for
 * 12: others may go on without it
 * What lies between is for clocks that run at different rates, and for threads that come late to a processor.
 */
const FENCE_PART = 4 / 12;
const MEMBERS_PART = 5 / 12;
/** What clocks may differ by in rate. */
const DRIFT = 0.1;

/** Before the end of a lease: when a host fences. */
export function fenceMs(leaseMs: number): number {
  return leaseMs * FENCE_PART;
}

/** How long members may go on that a host left behind when it died. */
export function leftBehindMs(leaseMs: number): number {
  return leaseMs * (1 - MEMBERS_PART) * (1 + DRIFT);
}

/** For the engine, of a lease that ends at `until` (performance.now()): when it fences, and what it may lend to members. */
export function engineLease(until: number, leaseMs: number): { fence: bigint; members: bigint } {
  // The clock first: what passes before the next line makes the lease shorter, not longer.
  const clock = process.hrtime.bigint();
  const left = until - performance.now();
  const at = (part: number): bigint => {
    const time = clock + BigInt(Math.floor((left - leaseMs * part) * 1e6));
    return time > 0n ? time : 0n;
  };
  return { fence: at(FENCE_PART), members: at(MEMBERS_PART) };
}
