/** What one survivor saw: by view, the event's type and reason, and whom it was about. */
export interface SeenEvent {
  readonly what: string;
  /** Slot, epoch and name. */
  readonly whom: string;
}

export type Seen = ReadonlyMap<number, SeenEvent>;

export interface Comparison {
  /** Views that both saw. */
  readonly common: number;
  /** Views that only one of them saw. */
  readonly missed: number;
  readonly faults: string[];
}

/**
 * Compares what two members saw, view by view. A reader that fell behind, or whose server died between two views, takes the table
 * and makes up events from the difference: two changes of one member may be one event then, with the number of the later. So at a
 * view the kind of an event may differ, but only where one of them missed an earlier view of that same member.
 */
export function compareViews(one: Seen, other: Seen): Comparison {
  const common = [...one.keys()].filter((view) => other.has(view));
  const faults: string[] = [];
  for (const view of common) {
    const [a, b] = [one.get(view)!, other.get(view)!];
    const same = a.whom === b.whom && (a.what === b.what || missedOne(one, other, view, a.whom));
    if (!same)
      faults.push(`view ${view} is "${a.what} ${a.whom}" to one and "${b.what} ${b.whom}" to the other`);
  }
  return { common: common.length, missed: one.size + other.size - 2 * common.length, faults };
}

function missedOne(one: Seen, other: Seen, view: number, whom: string): boolean {
  const only = (mine: Seen, theirs: Seen): boolean =>
    [...mine].some(([earlier, event]) => earlier < view && event.whom === whom && !theirs.has(earlier));
  return only(one, other) || only(other, one);
}
