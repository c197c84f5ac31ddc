import { readdirSync, readFileSync } from 'node:fs';

/** SO_PEERCRED of a client, as the kernel vouches for it. */
export interface Credentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Matches a client when every field it names is the client's. */
export interface AdmissionRule {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly pid?: number | undefined;
}

/** Whether any rule matches; 'any' admits everybody who can reach the socket. */
export function admits(rules: readonly AdmissionRule[] | 'any', client: Credentials): boolean {
  if (rules === 'any') return true;
  return rules.some(
    (rule) =>
      (rule.uid === undefined || rule.uid === client.uid) &&
      (rule.gid === undefined || rule.gid === client.gid) &&
      (rule.pid === undefined || rule.pid === client.pid),
  );
}

/** Descriptors a client needs besides those it is sent. */
const SPARE_DESCRIPTORS = 8;

/**
 * How many descriptors a client lacks to receive `sent`, 0 when it has room or nothing is known about it. A client that
 * runs out of descriptors in the middle sees messages without them: QEMU takes those for departures and corrupts its
 * heap, so the count comes first. /proc/<pid>/limits is for everybody to read, /proc/<pid>/fd only for the same user
 * and root; without it the process counts as having none open.
 */
export function missingDescriptors(pid: number, sent: number): number {
  let limit: number | null;
  try {
    limit = softLimit(readFileSync(`/proc/${pid}/limits`, 'utf8'));
  } catch {
    return 0; // another pid namespace, or gone already: then the socket tells
  }
  if (limit === null) return 0;
  let open = 0;
  try {
    open = readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    // not ours to look at
  }
  return Math.max(0, open + sent + SPARE_DESCRIPTORS - limit);
}

function softLimit(limits: string): number | null {
  const match = /^Max open files\s+(\d+)/m.exec(limits);
  return match === null ? null : Number(match[1]);
}

/** The soft limit of this process. Node raises it to the hard limit at start. */
export function ownDescriptorLimit(): number {
  return softLimit(readFileSync('/proc/self/limits', 'utf8')) ?? Number.POSITIVE_INFINITY;
}
