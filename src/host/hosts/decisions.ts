import type { Change, Decided, Seat, SharedSpace, View } from './directory.ts';

/** The changes there are. Each finds out whether it has been made already: deciding may take more than one try. */

/** These hosts and no others. What those who are gone had open they have open no longer. */
export function seats(wanted: readonly Seat[]): Change {
  return (decided) => {
    const { view } = decided;
    const same =
      wanted.length === view.seats.length &&
      wanted.every(({ node, incarnation }, i) => {
        const seat = view.seats[i]!;
        return seat.node === node && seat.incarnation === incarnation;
      });
    if (same) return decided;
    const stayed = (node: number): boolean =>
      wanted.some((seat) => seat.node === node) &&
      wanted.find((seat) => seat.node === node)!.incarnation ===
        view.seats.find((seat) => seat.node === node)?.incarnation;
    const spaces = decided.spaces
      .map((space) => afterView(space, stayed))
      .filter((space) => space.users.length > 0 || space.persistent || !isReady(space));
    return { ...decided, view: { epoch: view.epoch + 1, seats: wanted }, spaces };
  };
}

/** The same hosts in another epoch: what a lost connection between two of them lost is looked for again. */
export function renew(epoch: number): Change {
  return (decided) =>
    decided.view.epoch === epoch ? { ...decided, view: { ...decided.view, epoch: epoch + 1 } } : decided;
}

function afterView(space: SharedSpace, stayed: (node: number) => boolean): SharedSpace {
  const users = space.users.filter(stayed);
  if (isReady(space) || space.failed !== null || space.formed.seats.every(({ node }) => stayed(node)))
    return { ...space, users };
  return { ...space, users, failed: 'a host went away while the space was made' };
}

export function isReady({ formed, ready }: SharedSpace): boolean {
  return formed.seats.every(({ node }) => ready.includes(node));
}

export function findSpace(decided: Decided, region: string, name: string): SharedSpace | null {
  return decided.spaces.find((space) => space.region === region && space.name === name) ?? null;
}

export type NewSpace = Pick<
  SharedSpace,
  'region' | 'name' | 'bytes' | 'pageShift' | 'consistency' | 'replicas' | 'persistent' | 'access' | 'maker'
>;

/** Makes the space unless there is one of that name. The hosts of the view are to get ready for it. */
export function create(space: NewSpace): Change {
  return (decided) => {
    if (findSpace(decided, space.region, space.name) !== null || homesOf(decided.view) === 0) return decided;
    const made = {
      ...space,
      id: decided.nextSpace,
      formed: decided.view,
      ready: [],
      users: [],
      failed: null,
    };
    return { ...decided, spaces: [...decided.spaces, made], nextSpace: decided.nextSpace + 1 };
  };
}

/**
 * How many hosts of a view form a space: those before the first that is not there. The page protocol knows homes as the nodes 0 to
 * homes - 1; the others have room for pages, and are nobody's home.
 */
export function homesOf({ seats: there }: View): number {
  let homes = 0;
  while (there.some(({ node }) => node === homes)) homes++;
  return homes;
}

/** `node` has its part of the space; or it cannot, and why. */
export function prepared(id: number, node: number, failed: string | null): Change {
  return changed(id, (space) => {
    if (failed !== null) return isReady(space) ? space : { ...space, failed: space.failed ?? failed };
    return space.ready.includes(node) ? space : { ...space, ready: [...space.ready, node] };
  });
}

/** A member of the node opens it, or its last one closed it. Nobody left: it goes, unless it is persistent. */
export function use(id: number, node: number, uses: boolean): Change {
  return changed(id, (space) => {
    if (space.users.includes(node) === uses) return space;
    if (uses) return { ...space, users: [...space.users, node] };
    const users = space.users.filter((user) => user !== node);
    return users.length === 0 && !space.persistent ? null : { ...space, users };
  });
}

/** It is to go with the last who uses it, at once without one. */
export function release(id: number): Change {
  return changed(id, (space) => (space.users.length === 0 ? null : { ...space, persistent: false }));
}

/** It is to go at once, whoever uses it. */
export function revoke(id: number): Change {
  return changed(id, () => null);
}

/** One that could not be made. */
export function drop(id: number): Change {
  return changed(id, (space) => (space.failed === null ? space : null));
}

function changed(id: number, change: (space: SharedSpace) => SharedSpace | null): Change {
  return (decided) => {
    const space = decided.spaces.find((one) => one.id === id);
    if (space === undefined) return decided;
    const next = change(space);
    if (next === space) return decided;
    const spaces = decided.spaces.flatMap((one) => (one !== space ? [one] : next === null ? [] : [next]));
    return { ...decided, spaces };
  };
}
