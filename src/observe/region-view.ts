import { examineRecord } from '../channel/record.ts';
import { IvshmemError } from '../errors/index.ts';
import type { Change, MembershipEvent } from '../membership/changes.ts';
import { isHeld, type Member, memberOf } from '../membership/member.ts';
import { ViewReader } from '../membership/view-reader.ts';
import { type RegionHeader, readHeader } from '../memory/header.ts';
import { PAGE_BYTES, SERVER_SLOT } from '../memory/layout.ts';
import { membershipPlace } from '../memory/membership.ts';
import { readSpaces } from '../memory/space-table.ts';
import type { ChannelSample, RegionSample, SpaceReport } from './sample.ts';
import { carried, channelOf, hasAnswered, memberReport, statisticsOf } from './tables.ts';

/** Passes over the log, of as many records each as it has lines: more of them at a time are made by nobody who means well. */
const MOST_PASSES = 64;

/**
 * A region seen from its memory alone, by somebody who is no member of it and writes nothing. Whatever it reads is copied and
 * checked.
 */
export class RegionView {
  readonly header: RegionHeader;
  readonly #memory: ArrayBuffer;
  readonly #words: Int32Array;
  readonly #on: string;
  readonly #reader: ViewReader;

  /** `on`: names the memory in errors. Throws what readHeader throws, and ERR_IVSHMEM_MEMBERSHIP_ABSENT. */
  constructor(memory: ArrayBuffer, on: string) {
    this.header = readHeader(memory);
    this.#memory = memory;
    this.#on = on;
    this.#words = new Int32Array(memory, 0, (this.header.heapPage * PAGE_BYTES) / 4);
    const place = membershipPlace(this.header);
    if (place === null) {
      const params = { operation: 'see the members', on, version: `1.${this.header.minor}` };
      throw new IvshmemError('ERR_IVSHMEM_MEMBERSHIP_ABSENT', params);
    }
    this.#reader = new ViewReader(this.#words, place);
    this.read();
  }

  /** Number of the view that members() is as of. */
  get view(): number {
    return this.#reader.view;
  }

  members(): Member[] {
    const held = this.#reader.records.filter((record) => isHeld(record));
    return held.filter(({ slot }) => slot !== SERVER_SLOT).map((record) => memberOf(record));
  }

  /** Takes up what was published since the last time. Throws ERR_IVSHMEM_MEMBERSHIP_DAMAGED. */
  read(): MembershipEvent[] {
    const changes: Change[] = [];
    for (let pass = 0; pass < MOST_PASSES; pass++) {
      const result = this.#reader.read(changes);
      if (result === 'current') return changes.map(({ event }) => event);
      if (result !== 'more') throw this.#damaged(result.damaged);
    }
    throw this.#damaged('its log does not end');
  }

  /** The spaces of the shared table, in the order of their names; none in a region of an older layout. */
  spaces(): SpaceReport[] {
    this.read();
    const members = this.members();
    const reports = readSpaces(this.#words, this.header).map((space) => {
      const creator = members.find(
        ({ slot, epoch }) => slot === space.creator && epoch === space.creatorEpoch,
      );
      const { name, bytes, pages, persistent, holders } = space;
      const memoryBytes = pages * PAGE_BYTES;
      return { name, bytes, memoryBytes, persistent, holders, createdBy: creator?.name || null };
    });
    return reports.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Members and channels with their counters as they were stored last: nobody is asked for fresh ones. */
  sample(): RegionSample {
    this.read();
    const { header } = this;
    const members = this.members().map((member) => {
      const block = (header.memberPage + member.slot) * (PAGE_BYTES / 4);
      const statistics = statisticsOf(this.#words, block);
      return { ...memberReport(member), statistics, answered: hasAnswered(this.#words, block) };
    });
    return {
      region: header.name,
      at: Date.now(),
      view: this.view,
      sizeBytes: header.regionPages * PAGE_BYTES,
      slots: header.slots,
      channelEntries: header.channels,
      heapBytes: (header.regionPages - header.heapPage) * PAGE_BYTES,
      freeHeapBytes: null,
      members,
      channels: this.#channels(),
    };
  }

  #damaged(why: string): IvshmemError {
    return new IvshmemError('ERR_IVSHMEM_MEMBERSHIP_DAMAGED', { on: this.#on, why });
  }

  #channels(): ChannelSample[] {
    const channels: ChannelSample[] = [];
    for (let number = 1; number < this.header.channels; number++) {
      const record = examineRecord(this.#words, this.header, number);
      if (record === null || record instanceof IvshmemError) continue;
      channels.push(channelOf(record, carried(this.#memory, record)));
    }
    return channels;
  }
}
