import { SERVER_SLOT, SLOT_ATTACHED, SLOT_FREE, SLOT_OCCUPIED } from '../../memory/layout.ts';
import { binding } from '../../native/binding.ts';
import { type SlotRecord, slotKey } from '../records/records.ts';
import type { Transaction } from '../records/transaction.ts';
import type { Credentials } from './admission.ts';

const NOBODY: Credentials = { pid: 0, uid: 0, gid: 0 };

/** What a slot loses when no driver is attached any more. */
const DETACHED = {
  generation: 0,
  name: '',
  backend: 0,
  draining: false,
  departure: 0,
  suspect: false,
  suspectAfter: 0,
} as const;

/** The server's own record of a slot; only SlotTable changes it. */
export type Slot = Readonly<SlotRecord>;

/**
 * The fixed table of slots and all of its eventfds, made once. A slot is given again and again, its eventfds stay the
 * same: what a client was told in its handshake is true as long as it lives.
 */
export class SlotTable {
  readonly eventfds: readonly (readonly number[])[];
  readonly #slots: SlotRecord[];

  /** eventfds[slot][vector], owned by the caller. `own`: of the server itself. */
  constructor(eventfds: readonly (readonly number[])[], own: Credentials) {
    this.eventfds = eventfds;
    this.#slots = eventfds.map((_, id) => ({
      id,
      state: id === SERVER_SLOT ? SLOT_ATTACHED : SLOT_FREE,
      epoch: id === SERVER_SLOT ? 1 : 0,
      credentials: id === SERVER_SLOT ? own : NOBODY,
      rule: -1,
      since: 0,
      evicted: false,
      lastSeq: 0,
      reply: null,
      events: 0,
      sent: 0,
      ...DETACHED,
      generation: id === SERVER_SLOT ? 1 : 0,
    }));
  }

  /** The table as it was, under a server that may be another process now. Slots without a record were never used. */
  static restore(
    eventfds: readonly (readonly number[])[],
    own: Credentials,
    records: readonly SlotRecord[],
  ): SlotTable {
    const table = new SlotTable(eventfds, own);
    for (const record of records) {
      if (record.id >= eventfds.length) throw new RangeError(`there is no slot ${record.id}`);
      if (record.id !== SERVER_SLOT) table.#slots[record.id] = { ...record };
    }
    return table;
  }

  get slots(): readonly Slot[] {
    return this.#slots;
  }

  /** Those that a client holds. */
  held(): Slot[] {
    return this.#slots.filter(({ id, state }) => id !== SERVER_SLOT && state !== SLOT_FREE);
  }

  /** Gives the lowest free slot to a client, its eventfds silent. Null when all are taken. */
  take(tx: Transaction, credentials: Credentials, rule: number, now: number): Slot | null {
    const slot = this.#slots.find((candidate) => candidate.state === SLOT_FREE);
    if (slot === undefined) return null;
    for (const eventfd of this.eventfds[slot.id]!) binding.eventfdDrain(eventfd);
    this.change(tx, slot, {
      state: SLOT_OCCUPIED,
      epoch: (slot.epoch + 1) >>> 0,
      credentials,
      rule,
      since: now,
      evicted: false,
      lastSeq: 0,
      reply: null,
      events: 0,
      sent: 0,
    });
    return slot;
  }

  attach(
    tx: Transaction,
    slot: Slot,
    driver: { readonly generation: number; readonly name: string; readonly backend: number },
    now: number,
  ): void {
    const { generation, name, backend } = driver;
    this.change(tx, slot, { state: SLOT_ATTACHED, generation, name, backend, events: 0, since: now });
  }

  /** The driver is gone; the client keeps the slot. */
  detach(tx: Transaction, slot: Slot, now: number): void {
    this.change(tx, slot, { ...DETACHED, state: SLOT_OCCUPIED, since: now });
  }

  release(tx: Transaction, slot: Slot): void {
    this.change(tx, slot, { ...DETACHED, state: SLOT_FREE, credentials: NOBODY, rule: -1, evicted: false });
  }

  /** The one way to change a slot: its record goes with the transaction. */
  change(tx: Transaction, slot: Slot, changes: Partial<Omit<SlotRecord, 'id'>>): void {
    const record = this.#slots[slot.id]!;
    Object.assign(record, changes);
    tx.put(slotKey(slot.id), { ...record });
  }

  named(name: string): Slot | undefined {
    return this.#slots.find(
      (slot) => slot.id !== SERVER_SLOT && slot.state === SLOT_ATTACHED && slot.name === name,
    );
  }
}
