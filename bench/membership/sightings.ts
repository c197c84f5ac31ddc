/** What happened in the region, and who saw it when. Pure: what makes figures of two lists of time stamps. */

export type Kind = 'join' | 'leave' | 'crash';
export const kinds: readonly Kind[] = ['join', 'leave', 'crash'];

/** A change, as stamped by the one who made it. */
export interface Cause {
  readonly kind: Kind;
  /** Name of the member that joins or goes; used once, so that it names the change. */
  readonly name: string;
  /** Nanoseconds: just before open(), close() or kill(). */
  readonly at: number;
  /** A join by a process that never joined before: its code is not compiled yet. */
  readonly cold: boolean;
  /** Nothing else changes for more than a second, so that pollers see it. */
  readonly paced: boolean;
}

/** One observer's sight of a change. */
export interface Sighting {
  readonly observer: string;
  readonly type: string;
  readonly reason?: string;
  readonly name: string;
  readonly view: number;
  readonly at: number;
}

/** When the server knew. */
export interface ServerStamp {
  readonly type: 'join' | 'leave';
  readonly name: string;
  readonly at: number;
}

/** One change with the delay, milliseconds, of everybody who saw it. */
export interface Delays {
  readonly cause: Cause;
  readonly view: number;
  /** In the order of the observers. */
  readonly ms: readonly number[];
  /** From the first observer that saw it to the last. */
  readonly spreadMs: number;
  readonly serverMs: number | null;
}

export interface Matched {
  readonly delays: readonly Delays[];
  /** Observers that never saw a change, or saw another one than there was; empty in a run that counts. */
  readonly wrong: readonly string[];
}

const reasonOf: Readonly<Record<Kind, string | undefined>> = {
  join: undefined,
  leave: 'closed',
  crash: 'crashed',
};

/**
 * Finds each observer's sight of each cause. `exactly`: all must have the same view number and the right reason; whoever only
 * reads the table from time to time has neither.
 */
export function match(
  causes: readonly Cause[],
  observers: readonly string[],
  sightings: readonly Sighting[],
  { exactly, stamps = [] }: { readonly exactly: boolean; readonly stamps?: readonly ServerStamp[] },
): Matched {
  const key = (type: string, name: string) => `${type} ${name}`;
  const seen = new Map<string, Sighting>();
  for (const one of sightings) seen.set(`${key(one.type, one.name)} ${one.observer}`, one);
  const known = new Map(stamps.map((stamp) => [key(stamp.type, stamp.name), stamp.at]));
  const delays: Delays[] = [];
  const wrong: string[] = [];
  for (const cause of causes) {
    const what = key(cause.kind === 'join' ? 'join' : 'leave', cause.name);
    const found = observers.map((observer) => seen.get(`${what} ${observer}`));
    const views = new Set(found.map((one) => one?.view));
    const reasons = new Set(found.map((one) => one?.reason));
    const missing = observers.filter((_, i) => found[i] === undefined);
    if (missing.length > 0) wrong.push(`${what}: not seen by ${missing.join(', ')}`);
    else if (exactly && views.size !== 1) wrong.push(`${what}: seen as views ${[...views].join(', ')}`);
    else if (exactly && (reasons.size !== 1 || !reasons.has(reasonOf[cause.kind])))
      wrong.push(`${what}: for the reason ${[...reasons].join(', ')}`);
    else delays.push(delaysOf(cause, found as Sighting[], known.get(what)));
  }
  return { delays, wrong };
}

function delaysOf(cause: Cause, found: readonly Sighting[], server: number | undefined): Delays {
  const ms = found.map(({ at }) => (at - cause.at) / 1e6);
  return {
    cause,
    view: found[0]!.view,
    ms,
    spreadMs: Math.max(...ms) - Math.min(...ms),
    serverMs: server === undefined ? null : (server - cause.at) / 1e6,
  };
}
