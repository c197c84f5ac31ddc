import type { MembershipEvent } from '../membership/changes.ts';
import type { Member } from '../membership/member.ts';
import type { Consistency, StatisticName } from '../memory/layout.ts';

/**
 * What programs get to see of a region, as JSON: from the control socket, from `ivshmem members` and `ivshmem top`. Fields are only
 * ever added.
 */

/** A member; `since` is ISO 8601. */
export type MemberReport = Omit<Member, 'since'> & { readonly since: string };

/** Everybody who holds a slot, as of one view. */
export interface MembersReport {
  readonly region: string;
  readonly view: number;
  readonly members: readonly MemberReport[];
}

/** A space (docs/dsm.md). */
export interface SpaceReport {
  readonly name: string;
  /** Size that its members see. */
  readonly bytes: number;
  /** What it takes of the region. */
  readonly memoryBytes: number;
  readonly persistent: boolean;
  /** Members that have it open. */
  readonly holders: number;
  /** Name of the member that made it; null where only its slot is known and that is another's by now. */
  readonly createdBy: string | null;
  /** Of one that spreads over hosts, as its server knows it. */
  readonly spread?: SpreadReport;
}

/** What one host has of a space that spreads, in pages; counters are since its server took part. */
export interface SpreadPart {
  readonly host: string;
  /** Pages whose directory entry is here, and for which it has frames of their own. */
  readonly home: number;
  /** With release consistency, pages that it has for good: its home pages, and those that it keeps for others. */
  readonly kept: number;
  /** Pages whose home it is and which fewer hosts have than are to. */
  readonly missing: number;
  /** Pages of which it has the only copy, and one of several to read. */
  readonly writable: number;
  readonly readable: number;
  /** Frames for pages whose home is elsewhere. */
  readonly frames: number;
  readonly framesFree: number;
  /** Members that have it open. */
  readonly members: number;
  /** Pages that members asked for: had here, had from elsewhere, not had. */
  readonly faultsLocal: number;
  readonly faultsRemote: number;
  readonly failed: number;
  /** Different pages that members asked for and whose only copy is gone. */
  readonly lost: number;
  /** Pages given up for want of room. */
  readonly evictions: number;
  readonly pagesIn: number;
  readonly pagesOut: number;
  /** It lost touch with the others and gives everything up. */
  readonly fenced: boolean;
}

export interface SpreadReport {
  /** Its place in the region's table while it is here: what tells its metrics apart. */
  readonly number: number;
  /** When a store of one host is seen on another (docs/dsm-hosts.md). */
  readonly consistency: Consistency;
  /** How many hosts are to have each page, and how many have one, of that which the fewest have, as this host knows. */
  readonly replicas: number;
  readonly copies: number;
  readonly pageBytes: number;
  /** Of the whole space. */
  readonly pages: number;
  /** This host first. A host that did not answer is missing. */
  readonly hosts: readonly SpreadPart[];
  /** How often a page came to this host or left it, in parts of equal size from the start of the space to its end. */
  readonly heat: readonly number[];
}

/** This host among others (docs/hosts.md). */
export interface HostsReport {
  readonly host: string;
  readonly state: 'joining' | 'serving' | 'fencing' | 'closed';
  /** Why nothing can be decided at present; null: it can. */
  readonly trouble: string | null;
  /** Since when the directory's service (etcd) has not answered, ISO 8601; null: it does. */
  readonly awaySince: string | null;
  /** Number of the view. */
  readonly epoch: number;
  /** Who takes part; `up`: connected with this one. Bytes are of that connection. */
  readonly hosts: readonly {
    readonly name: string;
    readonly up: boolean;
    readonly bytesIn: number;
    readonly bytesOut: number;
    /** That the other one has not taken yet. */
    readonly waiting: number;
  }[];
}

export interface SpacesReport {
  readonly region: string;
  readonly spaces: readonly SpaceReport[];
  /** Of a server that has other hosts. */
  readonly hosts?: HostsReport;
}

export interface EventReport {
  readonly event: MembershipEvent['type'];
  readonly view: number;
  /** ISO 8601, by the server's clock. */
  readonly at: string;
  /** Of a leave. */
  readonly reason?: string;
  /** Of a leave: as it was. */
  readonly member: MemberReport;
}

/** What one direction of a channel has carried. */
export interface Carried {
  readonly messages: number;
  readonly bytes: number;
}

/** An open channel. */
export interface ChannelSample {
  readonly number: number;
  /** Names one life of the number. */
  readonly generation: number;
  /** Slots of the two sides. */
  readonly connector: number;
  readonly listener: number;
  /** Bytes of channel memory, both directions. */
  readonly memoryBytes: number;
  /** One side is gone. */
  readonly ended: boolean;
  /** From the connector to the listener, and back: what the sending side says. */
  readonly forth: Carried;
  readonly back: Carried;
}

export interface MemberSample extends MemberReport {
  /** Counters since the member joined: what it says itself. */
  readonly statistics: Readonly<Record<StatisticName, number>>;
  /** Whether it answered in time: else the statistics are of its last answer, or 0. */
  readonly answered: boolean;
}

/** A region at one moment. All counters are since their owner began. */
export interface RegionSample {
  readonly region: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly view: number;
  /** Of the whole region. */
  readonly sizeBytes: number;
  /** The server's own, slot 0, included. */
  readonly slots: number;
  /** Of the channel table; channel 0 is none. */
  readonly channelEntries: number;
  readonly heapBytes: number;
  /** Null where only shared memory is read: the server keeps the account. */
  readonly freeHeapBytes: number | null;
  readonly members: readonly MemberSample[];
  readonly channels: readonly ChannelSample[];
}
