import { readHeader } from '../../../src/memory/header.ts';
import {
  CHANNEL_BYTES,
  CHANNEL_FREE,
  CHANNEL_W,
  PAGE_BYTES,
  SLOT_BYTES,
  SLOT_FREE,
  SLOT_W,
} from '../../../src/memory/layout.ts';
import { readTable } from '../../../src/memory/member-table.ts';
import { membershipPlace, STATE_FREE } from '../../../src/memory/membership.ts';

/** What a region's shared tables call taken, and how many clients have ever had a slot. */
export interface TablesReport {
  /** The server's own included. */
  readonly slots: number;
  readonly channels: number;
  /** Records of the membership table that are not free; null where there is no such table. */
  readonly records: number | null;
  readonly view: number;
  /** Epochs count the clients of a slot. */
  readonly joins: number;
}

export function tablesOf(memory: ArrayBuffer): TablesReport {
  const header = readHeader(memory, memory.byteLength);
  const words = new Int32Array(memory, 0, (header.heapPage * PAGE_BYTES) / 4);
  const slotAt = (slot: number): number => (header.slotTablePage * PAGE_BYTES + slot * SLOT_BYTES) / 4;
  const channelAt = (n: number): number => (header.channelTablePage * PAGE_BYTES + n * CHANNEL_BYTES) / 4;
  let [slots, channels, joins] = [0, 0, 0];
  for (let slot = 0; slot < header.slots; slot++) {
    if (words[slotAt(slot) + SLOT_W.state] !== SLOT_FREE) slots++;
    if (slot > 0) joins += words[slotAt(slot) + SLOT_W.epoch]! >>> 0;
  }
  for (let n = 0; n < header.channels; n++)
    if (words[channelAt(n) + CHANNEL_W.state] !== CHANNEL_FREE) channels++;
  const place = membershipPlace(header);
  const table = place === null ? null : readTable(words, place);
  if (table !== null && 'damaged' in table) throw new Error(`the membership table: ${table.damaged}`);
  const records = table?.records.filter((record) => record !== null && record.state !== STATE_FREE).length;
  return { slots, channels, records: records ?? null, view: table?.view ?? 0, joins };
}
