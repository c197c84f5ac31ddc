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
  /** At most this many slots for the clients it lets in. */
  readonly slots?: number | undefined;
}

/**
 * The position of the first rule that matches and has a slot left, -1 when 'any' admits everybody who can reach the socket;
 * else why not. `held`: how many slots the clients let in by a rule have.
 */
export function admit(
  rules: readonly AdmissionRule[] | 'any',
  client: Credentials,
  held: (rule: number) => number,
): number | 'not_admitted' | 'rule_full' {
  if (rules === 'any') return -1;
  let why: 'not_admitted' | 'rule_full' = 'not_admitted';
  for (const [at, rule] of rules.entries()) {
    const matches =
      (rule.uid === undefined || rule.uid === client.uid) &&
      (rule.gid === undefined || rule.gid === client.gid) &&
      (rule.pid === undefined || rule.pid === client.pid);
    if (!matches) continue;
    if (rule.slots === undefined || held(at) < rule.slots) return at;
    why = 'rule_full';
  }
  return why;
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
