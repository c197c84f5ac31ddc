import { SLOT_ATTACHED, SLOT_FREE } from '../../memory/layout.ts';
import type { Item } from '../../memory/member-record.ts';
import {
  KIND_CONNECT,
  KIND_DISCONNECT,
  KIND_JOIN,
  KIND_LEAVE,
  KIND_RECOVERED,
  KIND_SUSPECT,
  KIND_UPDATE,
  REASON_CLOSED,
  REASON_EVICTED,
  REASON_MIGRATED,
  REASON_NONE,
  REASON_UNPLUGGED,
  REASONS,
  STATE_FREE,
  STATE_JOINING,
} from '../../memory/membership.ts';
import type { Transaction } from '../records/transaction.ts';
import type { Credentials } from './admission.ts';
import type { Channels } from './channels.ts';
import type { Counters } from './counters.ts';
import type { Services } from './services.ts';
import type { SlotPace } from './slot-pace.ts';
import type { Slot, SlotTable } from './slots.ts';
import type { Spaces } from './spaces.ts';
import { publicState, type Views } from './views.ts';

export interface MemberEffects {
  /** The slot's public record changed. */
  writeSlot(slot: Slot): void;
  clearMember(slot: number): void;
  clearEvents(slot: number): void;
  /** What a member asked for may have changed, or ended with it. */
  membersChanged(): void;
  log(slot: Slot, what: string, more?: object): void;
}

export interface Driver {
  readonly generation: number;
  readonly name: string;
  readonly backend: number;
}

/** The lives of members: each step changes the private truth and makes the view that tells of it. */
export class Members {
  readonly #slots: SlotTable;
  readonly #services: Services;
  readonly #channels: Channels;
  readonly #spaces: Spaces | null;
  readonly #views: Views;
  readonly #counters: Counters;
  readonly #pace: SlotPace;
  readonly #effects: MemberEffects;

  constructor(
    slots: SlotTable,
    services: Services,
    channels: Channels,
    spaces: Spaces | null,
    views: Views,
    counters: Counters,
    pace: SlotPace,
    effects: MemberEffects,
  ) {
    this.#slots = slots;
    this.#services = services;
    this.#channels = channels;
    this.#spaces = spaces;
    this.#views = views;
    this.#counters = counters;
    this.#pace = pace;
    this.#effects = effects;
  }

  /** A client connected. Null when no slot is free. */
  connect(tx: Transaction, credentials: Credentials, rule: number): Slot | null {
    const slot = this.#slots.take(tx, credentials, rule, Date.now());
    if (slot === null) return null;
    tx.after(() => this.#effects.clearMember(slot.id));
    this.#publish(tx, KIND_CONNECT, slot);
    return slot;
  }

  /** A driver said HELLO, and may. */
  join(tx: Transaction, slot: Slot, driver: Driver, items: readonly Item[]): void {
    tx.after(() => this.#effects.clearEvents(slot.id));
    this.#slots.attach(tx, slot, driver, Date.now());
    this.#counters.joins++;
    this.#pace.spend(slot.id);
    this.#views.describe(slot.id, items);
    this.#publish(tx, KIND_JOIN, slot);
    this.#effects.log(slot, 'joined');
  }

  /** What a member offers or says of itself changed. Others see it at once, or together with what follows soon. */
  update(tx: Transaction, slot: Slot): void {
    if (this.#pace.update(slot.id)) this.#publish(tx, KIND_UPDATE, slot);
    else this.#views.owe(tx, slot.id);
  }

  /** Shows the updates that are owed. */
  settle(tx: Transaction, slots: readonly Slot[]): void {
    for (const slot of slots) if (this.#views.owes(slot.id)) this.#publish(tx, KIND_UPDATE, slot);
  }

  describe(tx: Transaction, slot: Slot, items: readonly Item[]): void {
    this.#views.describe(slot.id, items);
    this.update(tx, slot);
  }

  /** `departure`: what an unplug that follows counts as, where an operator knows better than the driver. */
  drain(tx: Transaction, slot: Slot, departure = REASON_NONE): void {
    if (departure !== slot.departure) this.#slots.change(tx, slot, { departure });
    if (slot.draining) return;
    this.#slots.change(tx, slot, { draining: true });
    // Once in a life, and nobody shall open channels to it meanwhile: this does not wait.
    this.#pace.spend(slot.id);
    this.#publish(tx, KIND_UPDATE, slot);
  }

  /** It stays after all. */
  undrain(tx: Transaction, slot: Slot): void {
    if (!slot.draining) return;
    this.#slots.change(tx, slot, { draining: false, departure: REASON_NONE });
    this.#publish(tx, KIND_UPDATE, slot);
  }

  suspectAfter(tx: Transaction, slot: Slot, milliseconds: number): void {
    if (slot.suspectAfter === milliseconds) return;
    this.#slots.change(tx, slot, { suspectAfter: milliseconds });
    // It may be the reason for a pulse to all.
    this.#pace.spend(slot.id);
    tx.after(() => this.#effects.membersChanged());
  }

  suspect(tx: Transaction, slot: Slot, suspect: boolean): void {
    if (slot.state !== SLOT_ATTACHED || slot.suspect === suspect) return;
    this.#slots.change(tx, slot, { suspect });
    this.#publish(tx, suspect ? KIND_SUSPECT : KIND_RECOVERED, slot);
    this.#effects.log(slot, suspect ? 'suspect' : 'recovered');
  }

  /** The driver is gone and its client still there. Whatever the driver held comes back. */
  leave(tx: Transaction, slot: Slot, reason: number, died = !isOrderly(reason)): void {
    if (slot.state === SLOT_ATTACHED) this.#end(tx, slot, reason, died, STATE_JOINING);
  }

  /** The client is gone, and with it the driver if there was one. A driver that did not say GOODBYE counts as dead. */
  disconnect(tx: Transaction, slot: Slot, reason: number): void {
    if (slot.state === SLOT_FREE) return;
    if (slot.state === SLOT_ATTACHED) {
      this.#end(tx, slot, reason, true, STATE_FREE);
      return;
    }
    const was = { ...slot };
    this.#slots.release(tx, slot);
    // Who missed the leave of its driver finds the reason here.
    const last = this.#views.records[slot.id];
    const told = last?.kind === KIND_LEAVE && last.epoch === was.epoch ? last.reason : REASON_NONE;
    this.#publish(tx, KIND_DISCONNECT, was, told, STATE_FREE);
    tx.after(() => this.#effects.writeSlot(slot));
  }

  /** Throws the member out; the slot stays taken until its client is gone, who still has memory and doorbells. */
  evict(tx: Transaction, slot: Slot): void {
    this.leave(tx, slot, REASON_EVICTED);
    this.#slots.change(tx, slot, { evicted: true });
  }

  #end(tx: Transaction, slot: Slot, reason: number, died: boolean, state: number): void {
    const was = { ...slot };
    const told = reason === REASON_UNPLUGGED && was.departure !== REASON_NONE ? was.departure : reason;
    this.#counters.left(told, died);
    this.#services.removeAll(tx, slot.id);
    this.#channels.closeAll(tx, slot.id, died);
    this.#spaces?.closeAll(tx, slot.id);
    if (state === STATE_FREE) this.#slots.release(tx, slot);
    else this.#slots.detach(tx, slot, Date.now());
    tx.after(() => this.#effects.writeSlot(slot));
    this.#publish(tx, KIND_LEAVE, was, told, state);
    if (was.suspectAfter > 0) tx.after(() => this.#effects.membersChanged());
    this.#effects.log(was, 'left', { reason: REASONS[told] });
  }

  #publish(tx: Transaction, kind: number, slot: Slot, reason = REASON_NONE, state = publicState(slot)): void {
    if (kind !== KIND_LEAVE && kind !== KIND_DISCONNECT) tx.after(() => this.#effects.writeSlot(slot));
    this.#counters.views++;
    this.#pace.settled(slot.id);
    this.#views.publish(tx, { kind, reason, slot, state, time: Date.now() });
  }
}

function isOrderly(reason: number): boolean {
  return reason === REASON_CLOSED || reason === REASON_MIGRATED;
}
