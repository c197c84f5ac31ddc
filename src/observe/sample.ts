import type { MembershipEvent } from '../membership/changes.ts';
import type { Member } from '../membership/member.ts';
import type { StatisticName } from '../memory/layout.ts';

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
}

export interface SpacesReport {
  readonly region: string;
  readonly spaces: readonly SpaceReport[];
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
