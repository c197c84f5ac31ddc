import { SERVER_SLOT, SLOT_ATTACHED, SLOT_FREE, SLOT_OCCUPIED } from '../memory/layout.ts';
import { binding } from '../native/binding.ts';
import type { Credentials } from './admission.ts';

const NOBODY: Credentials = { pid: 0, uid: 0, gid: 0 };

/** The server's own record of a slot. */
export interface Slot {
  readonly id: number;
  state: number;
  /** Counts the clients that held the slot; with the ID it names a member for ever. */
  epoch: number;
  credentials: Credentials;
  /** Of the driver's last HELLO, 0 while none is attached. */
  generation: number;
  name: string;
  /** seq of the last request served. */
  lastSeq: number;
  /** Channel events written since HELLO, modulo 2^32. */
  events: number;
}

/**
 * The fixed table of slots and all of its eventfds, made once. A slot is given again and again, its eventfds stay the
 * same: what a client was told in its handshake is true as long as it lives.
 */
export class SlotTable {
  readonly slots: readonly Slot[];
  readonly eventfds: readonly (readonly number[])[];

  /** eventfds[slot][vector], owned by the caller. */
  constructor(eventfds: readonly (readonly number[])[], own: Credentials) {
    this.eventfds = eventfds;
    this.slots = eventfds.map((_, id) => ({
      id,
      state: id === SERVER_SLOT ? SLOT_ATTACHED : SLOT_FREE,
      epoch: id === SERVER_SLOT ? 1 : 0,
      credentials: id === SERVER_SLOT ? own : NOBODY,
      generation: id === SERVER_SLOT ? 1 : 0,
      name: '',
      lastSeq: 0,
      events: 0,
    }));
  }

  /** Gives the lowest free slot to a client, its eventfds silent. Null when all are taken. */
  take(credentials: Credentials): Slot | null {
    const slot = this.slots.find((candidate) => candidate.state === SLOT_FREE);
    if (slot === undefined) return null;
    for (const eventfd of this.eventfds[slot.id]!) binding.eventfdDrain(eventfd);
    slot.state = SLOT_OCCUPIED;
    slot.epoch = (slot.epoch + 1) >>> 0;
    slot.credentials = credentials;
    slot.lastSeq = 0;
    slot.events = 0;
    return slot;
  }

  attach(slot: Slot, generation: number, name: string): void {
    slot.state = SLOT_ATTACHED;
    slot.generation = generation;
    slot.name = name;
  }

  /** The driver said goodbye; the client keeps the slot. */
  detach(slot: Slot): void {
    slot.state = SLOT_OCCUPIED;
    slot.generation = 0;
    slot.name = '';
  }

  release(slot: Slot): void {
    slot.state = SLOT_FREE;
    slot.credentials = NOBODY;
    slot.generation = 0;
    slot.name = '';
  }

  named(name: string): Slot | undefined {
    return this.slots.find(
      (slot) => slot.id !== SERVER_SLOT && slot.state === SLOT_ATTACHED && slot.name === name,
    );
  }
}
