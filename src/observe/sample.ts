import type { Member } from '../membership/member.ts';
import type { StatisticName } from '../memory/layout.ts';

/** A member as JSON has it: `since` as text. */
export type MemberReport = Omit<Member, 'since'> & { readonly since: string };

/** What one direction of a channel has carried, as its sender says. */
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
  /** From the connector to the listener, and back. Each side's own claim. */
  readonly forth: Carried;
  readonly back: Carried;
}

export interface MemberSample extends MemberReport {
  /** Counters since the member joined, its own claim; as of its last answer, hence `answered`. */
  readonly statistics: Readonly<Record<StatisticName, number>>;
  /** Whether the statistics are of this sample: the member answered in time. */
  readonly answered: boolean;
}

/** A region at one moment: what `ivshmem top` and the metrics show. All counters are since their owner began. */
export interface RegionSample {
  readonly region: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Number of the newest view. */
  readonly view: number;
  readonly slots: number;
  readonly channelEntries: number;
  readonly heapBytes: number;
  /** By whoever keeps the account, the server; null where only shared memory can be read. */
  readonly freeHeapBytes: number | null;
  readonly members: readonly MemberSample[];
  readonly channels: readonly ChannelSample[];
}
