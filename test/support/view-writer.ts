/** The server's end of the membership part, without a server: numbers views and writes them to log and table. */
import { membershipPages, PAGE_BYTES } from '../../src/memory/layout.ts';
import { encodeRecord, type Item, type MemberRecord } from '../../src/memory/member-record.ts';
import { TableWriter } from '../../src/memory/member-table.ts';
import {
  KIND_CONNECT,
  KIND_DISCONNECT,
  KIND_JOIN,
  KIND_LEAVE,
  KIND_RECOVERED,
  KIND_SUSPECT,
  KIND_UPDATE,
  type MembershipPlace,
  placeAt,
  STATE_ACTIVE,
  STATE_FREE,
  STATE_JOINING,
  STATE_SUSPECT,
} from '../../src/memory/membership.ts';
import { LogWriter } from '../../src/memory/view-log.ts';

/** Words with nothing but a membership part in them, on page 0. */
export function membershipWords(slots: number): { words: Int32Array; place: MembershipPlace } {
  const words = new Int32Array(new SharedArrayBuffer(membershipPages(slots) * PAGE_BYTES));
  return { words, place: placeAt(0, slots) };
}

export class ViewWriter {
  view = 0;
  readonly records: (MemberRecord | null)[];
  readonly log: LogWriter;
  readonly table: TableWriter;

  constructor(words: Int32Array, place: MembershipPlace) {
    this.records = new Array<MemberRecord | null>(place.slots).fill(null);
    this.log = new LogWriter(words, place);
    this.table = new TableWriter(words, place);
  }

  /** The next view; what is not given stays as it was. */
  publish(slot: number, kind: number, more: Partial<MemberRecord> = {}): MemberRecord {
    const before = this.records[slot];
    const record: MemberRecord = {
      epoch: 1,
      generation: 0,
      name: '',
      pid: 100 + slot,
      uid: 0,
      gid: 0,
      backend: 3,
      listenersTruncated: false,
      items: [],
      state: STATE_FREE,
      ...before,
      ...more,
      view: ++this.view,
      kind,
      reason: more.reason ?? 0,
      slot,
      time: 1_700_000_000_000 + this.view,
    };
    this.records[slot] = record;
    const words = encodeRecord(record);
    this.log.append(words);
    this.table.write(slot, words, record.view, this.log.end);
    return record;
  }

  connect(slot: number): MemberRecord {
    const epoch = (this.records[slot]?.epoch ?? 0) + 1;
    return this.publish(slot, KIND_CONNECT, {
      epoch,
      state: STATE_JOINING,
      generation: 0,
      name: '',
      items: [],
    });
  }

  join(slot: number, name = `m${slot}`, generation = 1000 + this.view): MemberRecord {
    return this.publish(slot, KIND_JOIN, { state: STATE_ACTIVE, name, generation, items: [] });
  }

  update(slot: number, items: readonly Item[]): MemberRecord {
    return this.publish(slot, KIND_UPDATE, { items });
  }

  suspect(slot: number): MemberRecord {
    return this.publish(slot, KIND_SUSPECT, { state: STATE_SUSPECT });
  }

  recovered(slot: number): MemberRecord {
    return this.publish(slot, KIND_RECOVERED, { state: STATE_ACTIVE });
  }

  leave(slot: number, reason: number, state = STATE_FREE): MemberRecord {
    return this.publish(slot, KIND_LEAVE, { state, reason });
  }

  disconnect(slot: number): MemberRecord {
    return this.publish(slot, KIND_DISCONNECT, { state: STATE_FREE });
  }

  /** What REFRESH does. */
  rewrite(): void {
    const words = this.records.map((record) => (record === null ? null : encodeRecord(record)));
    this.table.rewrite(words, this.view, this.log.end);
  }
}
