import type { Consistency } from '../../memory/layout.ts';

/** What the hosts agree on: who takes part, and which spaces there are. Plain data, so that it can be kept and sent as JSON. */

/** The most hosts; a node number is below it (native/dsm/messages.h, kMaxNodes). */
export const MAX_NODES = 64;

/** A host in a view. Another incarnation of it is another holder of pages: it began with nothing. */
export interface Seat {
  readonly node: number;
  readonly incarnation: number;
}

/** The hosts whose word counts. Two views never have the same epoch. */
export interface View {
  readonly epoch: number;
  /** In the order of their nodes. */
  readonly seats: readonly Seat[];
}

/** A space whose pages move between hosts, as all of them know it. */
export interface SharedSpace {
  /** Of this one life of the name. */
  readonly id: number;
  readonly region: string;
  readonly name: string;
  readonly bytes: number;
  readonly pageShift: number;
  readonly consistency: Consistency;
  /** How many hosts are to have each page. */
  readonly replicas: number;
  readonly persistent: boolean;
  /** Names of hosts that may open it; null: all that are listed. */
  readonly access: readonly string[] | null;
  /** Who asked for it, in words of its own: another time the same host says something else. */
  readonly maker: string;
  /** The view that formed it: each of these holds its part of the pages from the start. */
  readonly formed: View;
  /** Of the hosts that formed it, who has made its part ready; nobody opens the space before all have. */
  readonly ready: readonly number[];
  /** Nodes with a member that has it open. */
  readonly users: readonly number[];
  /** Why it cannot be; who asked for it is told, and then it goes. */
  readonly failed: string | null;
}

/** All of it. `version` grows by one with each decision. */
export interface Decided {
  readonly version: number;
  readonly view: View;
  readonly spaces: readonly SharedSpace[];
  readonly nextSpace: number;
}

export const NOTHING_DECIDED: Decided = {
  version: 0,
  view: { epoch: 0, seats: [] },
  spaces: [],
  nextSpace: 1,
};

/**
 * Changes what was decided, or leaves it as it is by returning it. It may be applied more than once to what it has already changed,
 * and must find that out.
 */
export type Change = (decided: Decided) => Decided;

/**
 * - `joining`: no view has this host yet
 * - `serving`: it is in the newest view it knows, and its lease runs
 * - `fencing`: its lease ends or others have gone on without it: every page here is to be taken from everybody, then `rejoin()`
 * - `closed`
 */
export type HostState = 'joining' | 'serving' | 'fencing' | 'closed';

export interface DirectoryListener {
  /** Something was decided; also called for the first time this host hears of anything. */
  decided(decided: Decided): void;
  /** The state is another one. 'fencing' comes early enough that `fenceMs` remain of the lease. */
  state(state: HostState): void;
  /** Others cannot take what this host holds before then: milliseconds of performance.now(). Never earlier than said before, while serving. */
  lease(until: number): void;
}

/** Where hosts find and agree with each other. */
export interface Directory {
  readonly state: HostState;
  readonly decided: Decided;
  /** This host's number, the same for as long as the hosts are listed as they are. */
  readonly node: number;
  readonly incarnation: number;
  /** Milliseconds a lease lasts. */
  readonly leaseMs: number;
  /** An earlier life of this host may have left members with mappings: known before start(). */
  readonly unclean: boolean;
  /** By node, of the hosts there may be. */
  nameOf(node: number): string | null;
  /** `address:port` of a node's server; null when nobody knows. */
  addressOf(node: number): string | null;
  /** Why nothing can be decided at present, for operators; null when it can. */
  readonly trouble: string | null;
  /** Since when a service that this directory needs has not answered; null: it does. */
  readonly away: Date | null;
  /** Resolves with what was decided with this change in it; null when that did not come about in `ms`: it may still come about later. */
  change(change: Change, ms: number): Promise<Decided | null>;
  /** Begins. */
  start(listener: DirectoryListener): void;
  /** What another host's directory had sent to this one, if directories speak to each other. */
  told?(from: number, text: string): void;
  /** There is a connection to a host. */
  up?(node: number): void;
  /** It ended. */
  down?(node: number): void;
  /** What is here was fenced though this directory had not said so. */
  lapse(): void;
  /** Everything here is fenced: begins anew, with nothing. */
  rejoin(): void;
  /** `clean`: nothing is mapped here any more, so that nobody has to wait for the lease to end. Idempotent. */
  close(clean: boolean): Promise<void>;
}

export function seatOf(view: View, node: number): Seat | null {
  return view.seats.find((seat) => seat.node === node) ?? null;
}

export function sits(view: View, node: number, incarnation: number): boolean {
  return seatOf(view, node)?.incarnation === incarnation;
}

/** A bit for each node of the view. */
export function aliveMask(view: View): bigint {
  return view.seats.reduce((mask, { node }) => mask | (1n << BigInt(node)), 0n);
}
