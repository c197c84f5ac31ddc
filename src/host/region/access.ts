import { guardsLocks } from '../../dsm/spread/locks-name.ts';
import type { Credentials } from './admission.ts';

/** Who: matches a member when everything it names is the member's. */
export interface AccessWho {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** The name the member gave itself, or its beginning with * behind. */
  readonly member?: string | undefined;
}

/** Which spaces, by name or its beginning with * behind, and who may do what with them. */
export interface AccessRule {
  readonly space: string;
  /** Who may open one that is there. Absent: whoever is in the region. */
  readonly open?: readonly AccessWho[] | undefined;
  /** Who may make or remove one; whoever may must be able to open it, too. Absent: who may open it. */
  readonly create?: readonly AccessWho[] | undefined;
  /** Of one that is made here and spreads: the hosts that may open it. Absent: all. */
  readonly hosts?: readonly string[] | undefined;
}

export interface Access {
  readonly open: boolean;
  readonly create: boolean;
  /** Null: all. */
  readonly hosts: readonly string[] | null;
}

const ALL: Access = { open: true, create: true, hosts: null };

/** What the first rule for a space lets a member do; without one, everything. `credentials`: as the kernel vouches for them. */
export function accessOf(
  rules: readonly AccessRule[],
  space: string,
  { credentials, name }: { readonly credentials: Credentials; readonly name: string },
): Access {
  const rule = rules.find((one) => fits(one.space, space) || guardsLocks(one.space, space));
  if (rule === undefined) return ALL;
  const among = (who: readonly AccessWho[] | undefined): boolean =>
    who === undefined ||
    who.some(
      ({ uid, gid, member }) =>
        (uid === undefined || uid === credentials.uid) &&
        (gid === undefined || gid === credentials.gid) &&
        (member === undefined || fits(member, name)),
    );
  const open = among(rule.open);
  return { open, create: open && among(rule.create), hosts: rule.hosts ?? null };
}

function fits(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}
