import { createRequire } from 'node:module';
import { IvshmemError } from '../errors/index.ts';
import { places } from './places.ts';

/**
 * The native engine of spread spaces (native/hosts): one thread of the server that answers the faults of this host's members, exchanges
 * pages with the nodes of other hosts over TLS 1.3 with certificates on both sides, and never needs the JavaScript thread for either.
 * An addon of its own: only a server that is configured with hosts loads it.
 *
 * The order of things: `expect` everybody, `listen` and `connect`; `addSpace` and `install` when the event 'up' has come for every other
 * node of the view. A lost connection may have lost messages: after 'down' nothing is exchanged with that node in the epochs
 * that spaces have then, also not over a new connection, until a later epoch is installed on both sides. A node that is in a view
 * without a connection is such a node too.
 *
 * Methods take effect before they return and throw TypeError or RangeError for arguments that do not fit; the system's errors as in
 * `Binding`.
 */
export interface NodeEngine {
  /** Listens for other nodes at a numeric address; 0 takes any free port. @returns the port */
  listen(address: string, port: number): number;
  /** Who may be this node: the DNS name its certificate must have (subjectAltName). null: nobody, and its connection is closed. */
  expect(node: number, name: string | null): void;
  /** Other certificates for connections from now on. */
  identify(identity: Identity): void;
  /** Begins to connect to a node that is expected, at a numeric address. Ends in an event: 'up' or 'down'. A node that is up stays so. */
  connect(node: number, address: string, port: number): void;
  /** Closes the connection, if there is one; event 'down'. */
  disconnect(node: number): void;
  /** Sends at most 65536 bytes of UTF-8, in order with everything else; the other side has the event 'told'. False: it is not up. */
  tell(node: number, text: string): boolean;

  /**
   * How to ring the member in `slot`: the eventfd of its last vector, which is duplicated; -1: it is gone with its mappings, and
   * counts as having done all its orders.
   */
  member(slot: number, eventfd: number): void;

  /**
   * Writes the control part (native/dsm/shared_layout.h) and serves. The memory must be zero and stays the engine's until
   * removeSpace. RangeError when it is too small: see `leastBytes`.
   */
  addSpace(space: SpaceOptions): void;
  /** The memory is not touched any more when this returns; what peers still say about this id is dropped. */
  removeSpace(id: number): void;
  /** The directory's next view of a space: which nodes take part, from this epoch on. */
  install(id: number, epoch: bigint, alive: bigint): void;
  /**
   * Takes everything from the members and fails their faults; the event 'fenced' says that all of it is done. A view without this node,
   * installed, does the same. A space that was fenced stays so: remove it, and add it anew as a node that forms nothing.
   * `removed`: because the hosts have removed the space, which is what members hear.
   */
  fence(id: number, removed?: boolean): void;
  /**
   * This host's lease, in nanoseconds of the monotonic clock (process.hrtime): what is served still at `fence` the engine fences by itself
   * (event 'lapsed'), whatever JavaScript does by then, and members are lent mappings until `members`. Without it there is no end.
   */
  lease(fence: bigint, members: bigint): void;
  status(id: number): SpaceStatus;
  peer(node: number): PeerStatus | null;

  /** Ends the thread and closes what it holds. Idempotent. Also run at environment exit. */
  close(): void;
}

export interface NodeEngineOptions {
  /** The region: mapped anew, so the engine does not depend on anybody else's mapping. */
  readonly memory: { readonly fd: number; readonly bytes: number };
  /** The eventfd of the node's vector of slot 0, which is duplicated. */
  readonly bell: number;
  /** As in the region's header. */
  readonly slots: number;
  /** This host's number, 0 to 63, and the cluster's name, which must be the same everywhere. */
  readonly node: number;
  readonly cluster: string;
  readonly identity: Identity;
  /**
   * A peer that says nothing for so long is down, and a member that does not do an order for so long is told of ('silent').
   * The engine sends signs of life by itself.
   */
  readonly patienceMs: number;
  readonly onEvent: (event: EngineEvent) => void;
}

/** PEM. The certificate with its chain; the authorities whose certificates are believed. */
export interface Identity {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

export type Consistency = 'sequential' | 'release';

export interface SpaceOptions {
  /** The same on all hosts, never used twice. */
  readonly id: number;
  /** The allocation, bytes from the start of the region; both multiples of 4096. */
  readonly at: number;
  readonly bytes: number;
  /** The page size is 1 << pageShift, 12 to 21. */
  readonly pageShift: number;
  /** Of the whole space. */
  readonly pages: bigint;
  /** The nodes that formed the space: 0 to homes - 1. */
  readonly homes: number;
  /** What members of different hosts see of each other's stores, and when: the same on all hosts. Default: sequential. */
  readonly consistency?: Consistency;
  /** With release consistency: how many hosts are to have each page. Default 1. */
  readonly replicas?: number;
  /** This node is one of them, and it is new: its pages are here, all zeros. */
  readonly forms: boolean;
  readonly epoch: bigint;
  /** Bit per node. */
  readonly alive: bigint;
}

export type EngineEvent =
  | { readonly kind: 'up'; readonly node: number }
  /** The connection, or the attempt to make one, has ended. */
  | { readonly kind: 'down'; readonly node: number; readonly why: string }
  /** Somebody connected here who is nobody that is expected. */
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'told'; readonly node: number; readonly text: string }
  /** The node said what does not fit; its connection is closed, which 'down' tells too. */
  | { readonly kind: 'reject'; readonly node: number; readonly space: number; readonly why: string }
  /** The member in this slot broke the rules of its rings, or of another space's: it is not served there until it opens it anew. */
  | { readonly kind: 'broken'; readonly slot: number; readonly space: number }
  /** It has not done an order for `patienceMs`: pages wait for it. It should be evicted, and then told of with `member(slot, -1)`. */
  | { readonly kind: 'silent'; readonly slot: number; readonly space: number }
  | { readonly kind: 'fenced'; readonly space: number }
  /** The lease ended before another one was told of: the space is being fenced. */
  | { readonly kind: 'lapsed'; readonly space: number }
  /** A member asked for a page whose only copy is gone. */
  | { readonly kind: 'lost'; readonly space: number; readonly page: number };

/** Counters since addSpace. */
export interface SpaceStatus {
  readonly consistency: Consistency;
  /** Hosts that are to have each page, and those that have one, of that which the fewest have. */
  readonly replicas: number;
  readonly copies: number;
  /** Pages whose home is here and which fewer hosts have than are to. */
  readonly missing: number;
  /** Pages that this node has for good, with release consistency: their home is here, or it is one of those who keep them. */
  readonly kept: number;
  readonly epoch: bigint;
  readonly fenced: boolean;
  /** Nothing is under way. */
  readonly quiet: boolean;
  /** Pages that this node has to write (the only copies, if it is sequential), and copies to read. */
  readonly owned: number;
  readonly shared: number;
  /** Pages with something written here that their homes may not have. With release consistency, as the four below. */
  readonly dirty: number;
  /** What members asked for. */
  readonly flushes: number;
  readonly refreshes: number;
  /** Differences that came from other nodes, or went to them. */
  readonly mergesIn: number;
  readonly mergesOut: number;
  readonly cacheFrames: number;
  readonly cacheFramesFree: number;
  /** Slots that have it open. */
  readonly members: readonly number[];
  /** Pages that members asked for, answered from what is held here, or by other nodes. */
  readonly faultsLocal: number;
  readonly faultsRemote: number;
  readonly failed: number;
  readonly evictions: number;
  readonly pagesIn: number;
  readonly pagesOut: number;
  /** Times that a page came or went, in at most 1024 parts of the space of equal size. */
  readonly heat: Uint32Array;
}

export interface PeerStatus {
  readonly up: boolean;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Bytes that wait for the peer to take them. */
  readonly waiting: number;
}

export interface HostsBinding {
  readonly NodeEngine: new (options: NodeEngineOptions) => NodeEngine;
  /**
   * The allocation that a node needs: control part, frames for the pages that it keeps from the beginning, and `cache` frames for pages of
   * others (at least 8), but no more than one for each page.
   */
  leastBytes(
    space: Pick<SpaceOptions, 'pageShift' | 'pages' | 'homes' | 'consistency' | 'replicas'>,
    node: number,
    slots: number,
    cache: number,
  ): number;
  /** The numbers of native/dsm/shared_layout.h. */
  readonly abi: Readonly<Record<string, number>>;
}

let loaded: HostsBinding | undefined;

/** Loads the addon, once. @throws IvshmemError ERR_IVSHMEM_ADDON_ABSENT, naming the paths tried */
export function hostsBinding(): HostsBinding {
  if (loaded !== undefined) return loaded;
  const require = createRequire(import.meta.url);
  const tried: string[] = [];
  for (const candidate of places('hosts.node', '-hosts.node')) {
    try {
      loaded = require(candidate) as HostsBinding;
      return loaded;
    } catch (cause) {
      tried.push(`${candidate} (${(cause as Error).message.split('\n')[0]})`);
    }
  }
  throw new IvshmemError('ERR_IVSHMEM_ADDON_ABSENT', { tried: tried.join('; ') });
}
