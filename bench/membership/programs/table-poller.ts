import type { Region } from '../../../src/channel/index.ts';
import { difference, type MembershipEvent } from '../../../src/membership/changes.ts';
import { PAGE_BYTES } from '../../../src/memory/layout.ts';
import type { MemberRecord } from '../../../src/memory/member-record.ts';
import { readTable } from '../../../src/memory/member-table.ts';
import { membershipPlace } from '../../../src/memory/membership.ts';

/** The baseline: reads the membership table, with the reader the product uses, every `everyMs` and tells what changed. */
export class TablePoller {
  readonly #read: () => readonly (MemberRecord | null)[];
  readonly #told: (event: MembershipEvent) => void;
  #before: readonly (MemberRecord | null)[];
  #timer: NodeJS.Timeout;

  /** The first read is at once, the second after `delayMs`. */
  constructor(region: Region, everyMs: number, delayMs: number, told: (event: MembershipEvent) => void) {
    const { header, device } = region;
    const words = new Int32Array(device.memory, 0, (header.heapPage * PAGE_BYTES) / 4);
    const place = membershipPlace(header);
    if (place === null) throw new Error('the region has no membership part');
    this.#told = told;
    this.#read = () => {
      const table = readTable(words, place);
      if ('damaged' in table) throw new Error(`the table is damaged: ${table.damaged}`);
      return table.records;
    };
    this.#before = this.#read();
    this.#timer = setTimeout(() => {
      this.#look();
      this.#timer = setInterval(() => this.#look(), everyMs);
    }, delayMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    const after = this.#read();
    for (const { event } of difference(this.#before, after, 0)) this.#told(event);
    this.#before = after;
  }
}
