import { SLOT_FREE } from '../../memory/layout.ts';
import { binding } from '../../native/binding.ts';
import type { Log } from '../log.ts';
import type { Transactions } from '../records/transaction.ts';
import { type AdmissionRule, admit, type Credentials, missingDescriptors } from '../region/admission.ts';
import type { Counters, RefusalReason } from '../region/counters.ts';
import type { Members } from '../region/members.ts';
import type { Slot, SlotTable } from '../region/slots.ts';
import {
  handshake,
  type Messages,
  REFUSED_ADMISSION,
  REFUSED_FD_LIMIT,
  REFUSED_FULL,
  SENT_IN_DOUBT,
} from '../sockets/handshake.ts';
import { Client } from './client.ts';
import { ENTRANCE, Entrance, type EntranceRates } from './entrance.ts';
import { Refused } from './refused.ts';

/** Holds descriptors beyond the life of this process. */
export interface ClientKeeper {
  keep(slot: number, socket: number): void;
  forget(slot: number): void;
}

/** What a region's clients are let in by, and given. */
export interface Admission {
  readonly rules: readonly AdmissionRule[] | 'any';
  readonly memoryFd: number;
  readonly eventfds: readonly (readonly number[])[];
  /** How often clients may come. */
  readonly rates?: EntranceRates;
}

const REFUSALS: Readonly<Record<RefusalReason, { version: number; why: string }>> = {
  not_admitted: { version: REFUSED_ADMISSION, why: 'not admitted' },
  rule_full: { version: REFUSED_FULL, why: 'no free slot under its admission rule' },
  full: { version: REFUSED_FULL, why: 'no free slot' },
  too_many: { version: REFUSED_FULL, why: 'it comes too often, and too many of its kind wait' },
  descriptors: { version: REFUSED_FD_LIMIT, why: 'file descriptors too few' },
};

/** Connections: who is let in, what they are sent, and their end. */
export class Clients {
  readonly #admission: Admission;
  readonly #slots: SlotTable;
  readonly #members: Members;
  readonly #transactions: Transactions;
  readonly #counters: Counters;
  readonly #keeper: ClientKeeper | null;
  readonly #log: Log;
  readonly #onGone: (slot: Slot, why: string) => void;
  readonly #clients = new Map<Slot, Client>();
  readonly #refused = new Refused();
  readonly #entrance: Entrance;

  /** `onGone`: the socket of a slot's client ended. */
  constructor(
    admission: Admission,
    slots: SlotTable,
    members: Members,
    transactions: Transactions,
    counters: Counters,
    keeper: ClientKeeper | null,
    log: Log,
    onGone: (slot: Slot, why: string) => void,
  ) {
    this.#admission = admission;
    this.#slots = slots;
    this.#members = members;
    this.#transactions = transactions;
    this.#counters = counters;
    this.#keeper = keeper;
    this.#log = log;
    this.#onGone = onGone;
    this.#entrance = new Entrance(
      admission.rates ?? ENTRANCE,
      (socket, credentials) => this.#admit(socket, credentials, true),
      (error) => log.error({ err: error }, 'cannot let in a client that waited'),
    );
  }

  *[Symbol.iterator](): Iterator<[Slot, Client]> {
    yield* this.#clients;
  }

  /** A new connection; owns its socket unless it throws. */
  connected(socket: number): void {
    this.#admit(socket, binding.socketCredentials(socket), false);
  }

  #admit(socket: number, credentials: Credentials, waited: boolean): void {
    const rule = admit(this.#admission.rules, credentials, (at) => this.#heldBy(at));
    if (typeof rule === 'string') {
      this.#refuse(socket, credentials, rule);
      return;
    }
    const { eventfds } = this.#admission;
    const missing = missingDescriptors(credentials.pid, eventfds.flat().length + 1);
    if (missing > 0) {
      this.#refuse(socket, credentials, 'descriptors', `${missing} `);
      return;
    }
    if (!waited && !this.#entrance.pass(credentials)) {
      if (this.#entrance.wait(socket, credentials)) this.#counters.postponed++;
      else this.#refuse(socket, credentials, 'too_many');
      return;
    }
    const taken = this.#transactions.run((tx) => {
      const slot = this.#members.connect(tx, credentials, rule);
      if (slot === null) return false;
      // Before the commit: a kept socket without a slot is let go of, a slot without its socket would be a client in the dark.
      this.#keeper?.keep(slot.id, socket);
      tx.after(() => {
        this.#counters.connections++;
        this.#log.info({ slot: slot.id, epoch: slot.epoch, ...credentials }, 'connected');
        this.#serve(slot, socket, 0);
      });
      return true;
    });
    if (!taken) this.#refuse(socket, credentials, 'full');
  }

  /**
   * The client of a slot that an earlier server gave it; it gets what it was not sent yet. Owns the socket.
   *
   * A client of whom it is in doubt what it was sent gets an end instead: without all messages it hangs up and asks again, with all
   * of them it has no more to hear. Its slot is not given to others before it hung up, for it may have begun to use it.
   */
  adopt(slot: Slot, socket: number): void {
    if (slot.sent === SENT_IN_DOUBT) binding.socketEnd(socket);
    this.#serve(slot, socket, slot.sent);
  }

  pause(): void {
    this.#entrance.pause();
    for (const client of this.#clients.values()) client.pause();
  }

  resume(): void {
    for (const client of this.#clients.values()) client.resume();
    this.#entrance.resume();
  }

  close(): void {
    this.#entrance.close();
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
    this.#refused.close();
  }

  #serve(slot: Slot, socket: number, sent: number): void {
    const about = { slot: slot.id, epoch: slot.epoch, ...slot.credentials };
    let taken = sent;
    const note = (messages: number): void => {
      if (slot.state === SLOT_FREE) return; // the sending was its end
      this.#transactions.run((tx) => this.#slots.change(tx, slot, { sent: messages }));
    };
    const client = new Client(socket, {
      gone: (why) => this.#gone(slot, why),
      spoke: () => this.#log.warn(about, 'the client sends data, which is ignored'),
      stalled: (waiting) => this.#log.warn({ ...about, waiting }, 'the client does not read'),
      sending: () => note(SENT_IN_DOUBT),
      taken: (messages) => {
        taken += messages;
        note(taken);
      },
    });
    this.#clients.set(slot, client);
    client.send(behind(handshake(slot.id, this.#admission.memoryFd, this.#admission.eventfds), sent));
  }

  #gone(slot: Slot, why: string): void {
    this.#clients.delete(slot);
    this.#onGone(slot, why);
    this.#keeper?.forget(slot.id);
  }

  #heldBy(rule: number): number {
    return this.#slots.held().filter((slot) => slot.rule === rule).length;
  }

  #refuse(socket: number, credentials: Credentials, reason: RefusalReason, more = ''): void {
    const { version, why } = REFUSALS[reason];
    this.#counters.refusals[reason]++;
    this.#log.warn({ ...credentials, version }, `refused: ${more}${why}`);
    this.#refused.add(socket, version);
  }
}

function behind({ values, fds }: Messages, sent: number): Messages {
  return { values: values.slice(sent), fds: fds.slice(sent) };
}
