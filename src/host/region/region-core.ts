import { writeDirectory } from '../../memory/directory.ts';
import {
  EVENT_ENTRIES,
  MAX_SPACES,
  OP_HELLO,
  OP_SUSPECT,
  PAGE_BYTES,
  SERVER_SLOT,
  SLOT_ATTACHED,
  SLOT_FREE,
} from '../../memory/layout.ts';
import type { MemberRecord } from '../../memory/member-record.ts';
import { KIND_LEAVE, REASON_CLOSED, REASON_MIGRATED, REASON_UNPLUGGED } from '../../memory/membership.ts';
import type { RegionConfig } from '../config/schema.ts';
import type { Log } from '../log.ts';
import { REGION_KEY, type RegionRecords } from '../records/records.ts';
import { type JournalSink, type Transaction, Transactions } from '../records/transaction.ts';
import type { Credentials } from './admission.ts';
import { Control } from './control.ts';
import { Counters } from './counters.ts';
import { Doorbells } from './doorbells.ts';
import { Members } from './members.ts';
import { Publication } from './publication.ts';
import { Pulse } from './pulse.ts';
import { PACE, type Pace, SlotPace } from './slot-pace.ts';
import type { Slot } from './slots.ts';
import type { SpreadDesk } from './spread-desk.ts';
import { Tables } from './tables.ts';
import { buildTruth, headerOf, type Truth } from './truth.ts';

/** A refresh writes all tables: no two of them within this time, milliseconds. */
const REFRESH_MS = 1000;

export interface CoreParts {
  readonly memory: ArrayBuffer;
  /** Where the membership is repeated for members that do not trust the others; null: nowhere. */
  readonly directory: ArrayBuffer | null;
  readonly eventfds: readonly (readonly number[])[];
  /** Of this process. */
  readonly own: Credentials;
  readonly log: Log;
  /** Where each transaction is kept; null: the region ends with this process. */
  readonly journal: JournalSink | null;
  /** What an earlier server knew of the region in `memory`; null formats a fresh one. */
  readonly records: RegionRecords | null;
  /** Who decides on spaces that spread over hosts. */
  readonly spread?: Pick<SpreadDesk, 'open' | 'remove'> | null;
  /** What one slot may cost the others. */
  readonly pace?: Pace;
  /** Makes pages of the memory zero that nobody uses; by writing to them unless there is a better way. */
  readonly zeroPages?: (firstPage: number, pages: number) => void;
  /** Told of the pages of the memory that come into use; the first of them are those of the tables. */
  readonly taken?: (firstPage: number, pages: number) => void;
}

/** A region without its connections: the truth, the tables written from it, and what members ask for in them. */
export class RegionCore {
  readonly truth: Truth;
  readonly tables: Tables;
  readonly members: Members;
  readonly transactions: Transactions;
  readonly pulse: Pulse;
  readonly counters = new Counters();
  readonly #log: Log;
  readonly #pace: SlotPace;
  readonly #doorbells: Doorbells;
  readonly #control: Control;
  readonly #directory: ArrayBuffer | null;
  readonly #onView = new Set<(record: MemberRecord) => void>();
  #refreshed = Number.NEGATIVE_INFINITY;

  /**
   * Writes the tables. Throws a RangeError when records contradict each other or the configuration; nothing was written then.
   */
  constructor(config: RegionConfig, parts: CoreParts) {
    const { memory, directory, eventfds, own, log, journal, records, pace = PACE } = parts;
    const { slots, channels, size, quota } = config;
    this.#log = log;
    this.#directory = directory;
    this.transactions = new Transactions(journal);
    const tables = new Tables(memory, slots, channels, records?.region.minor);
    this.tables = tables;
    const taken = parts.taken ?? (() => {});
    taken(0, tables.heapPage);
    const effects = {
      taken,
      zeroRings: tables.zeroRings.bind(tables),
      writeChannel: tables.writeChannel.bind(tables),
      writeClosed: tables.writeClosed.bind(tables),
      freeChannel: tables.freeChannel.bind(tables),
      event: this.#event.bind(this),
      zeroPages: parts.zeroPages ?? tables.zeroPages.bind(tables),
      writeSpace: tables.writeSpace.bind(tables),
      freeSpace: tables.freeSpace.bind(tables),
    };
    const published = this.#published.bind(this);
    this.truth = buildTruth(config, eventfds, own, records, effects, published);
    const { slots: table, services, channels: open, spaces, views } = this.truth;
    this.#doorbells = new Doorbells(tables.words, tables.members, eventfds);
    this.#pace = new SlotPace(
      pace,
      this.counters,
      (slot) => this.settle([table.slots[slot]!]),
      (slot) => this.visit(slot),
    );
    this.members = new Members(table, services, open, spaces, views, this.counters, this.#pace, {
      writeSlot: (slot) => tables.writeSlot(slot),
      clearMember: (slot) => tables.members.clear(slot),
      clearEvents: (slot) => tables.members.clearEvents(slot),
      membersChanged: () => this.pulse.update(),
      log: (slot, what, more) =>
        log.info({ slot: slot.id, epoch: slot.epoch, member: slot.name, ...slot.credentials, ...more }, what),
    });
    const heapBytes = size - tables.heapPage * PAGE_BYTES;
    const limits = { heapBytes, listeners: quota.listeners, access: config.spaces ?? [] };
    this.#control = new Control(table, services, open, spaces, this.members, limits, {
      draft: (slot, bytes) => tables.members.draft(slot, bytes),
      refresh: (tx) => this.#refresh(tx),
      spread: parts.spread ?? null,
    });
    this.pulse = new Pulse({
      attached: () => table.held().filter(({ state }) => state === SLOT_ATTACHED),
      send: (slot, number) => this.#sendPulse(slot, number),
      answer: (slot) => tables.members.pulseAnswer(slot),
      suspect: (slot, suspect) => this.transactions.run((tx) => this.members.suspect(tx, slot, suspect)),
    });
    if (records === null) this.#format();
    else this.#restore();
  }

  /** Serves what the slot's block asks for: an obituary, a sign of life, a request. */
  visit(id: number): void {
    const slot = this.truth.slots.slots[id]!;
    // The server's own block asks for nothing, whoever scribbles there.
    if (id === SERVER_SLOT || slot.state === SLOT_FREE) return;
    this.pulse.look(slot);
    this.#bury(slot);
    const request = this.tables.members.request(slot);
    if (request === null || this.#postponed(slot, request)) return;
    this.transactions.run((tx) => this.#answer(tx, slot, request));
    // A HELLO found in the mailbox of one who died meanwhile: no other visit may follow.
    this.#bury(slot);
  }

  /** Shows the updates that these slots are owed, if any; all without an argument. */
  settle(slots: readonly Slot[] = this.truth.slots.slots): void {
    this.transactions.run((tx) => this.members.settle(tx, slots));
  }

  /** Does nothing by itself any more, until it goes on. What is owed by then is in the records. */
  pause(): void {
    this.pulse.pause();
    this.#pace.stop();
  }

  /** Starts, or goes on after a pause. Requests that waited are for the caller to visit. */
  resume(): void {
    this.settle();
    this.pulse.update();
  }

  /** Must be called before the memory is unmapped. */
  close(): void {
    this.pulse.close();
    this.#pace.stop();
  }

  /** Whether something waits for its time because there was too much of it. */
  get owing(): boolean {
    return this.#pace.running;
  }

  /** Why the driver of a slot ended, from its obituary; null without one. */
  obituary(slot: Slot): number | null {
    return this.tables.members.obituary(slot);
  }

  /** Calls back with each view once it is in shared memory, until the function returned is called. */
  onView(listener: (record: MemberRecord) => void): () => void {
    this.#onView.add(listener);
    return () => void this.#onView.delete(listener);
  }

  /** A slot that woke the others too often waits with the requests that may do so again. */
  #postponed(slot: Slot, request: Int32Array): boolean {
    const op = request[1];
    return (op === OP_HELLO || op === OP_SUSPECT) && !this.#pace.mayServe(slot.id);
  }

  #answer(tx: Transaction, slot: Slot, request: Int32Array): void {
    const seq = request[0]!;
    const answer = this.#control.answer(tx, slot, request);
    if (answer === null) return;
    this.counters.request(request[1]!, answer[0]);
    this.#log.debug(
      { slot: slot.id, op: request[1], status: answer[0], results: answer.slice(1) },
      'request',
    );
    this.truth.slots.change(tx, slot, { lastSeq: seq, reply: [...answer] });
    tx.after(() => {
      this.tables.members.reply(slot.id, seq, answer);
      this.#doorbells.notify(slot.id);
    });
  }

  #bury(slot: Slot): void {
    const reason = this.obituary(slot);
    if (reason !== null) this.transactions.run((tx) => this.members.leave(tx, slot, reason));
  }

  #event(tx: Transaction, id: number, channel: number): void {
    const slot = this.truth.slots.slots[id]!;
    const index = slot.events;
    this.truth.slots.change(tx, slot, { events: (index + 1) >>> 0 });
    tx.after(() => {
      this.tables.members.event(id, index, channel);
      this.#doorbells.notify(id);
    });
  }

  #sendPulse(id: number, number: number): void {
    this.counters.pulses++;
    this.tables.members.pulse(id, number);
    this.#doorbells.notify(id);
  }

  /** A view is in shared memory: tell whoever wants to know, and after a death everybody. */
  #published(record: MemberRecord): void {
    const alarm = record.kind === KIND_LEAVE && !ANNOUNCED.has(record.reason);
    for (const { id } of this.truth.slots.held()) {
      if (alarm) this.#doorbells.ring(id);
      else if (this.tables.members.watching(id)) this.#doorbells.notify(id);
    }
    for (const listener of this.#onView) listener(record);
  }

  #refresh(tx: Transaction): void {
    const now = performance.now();
    if (now - this.#refreshed < REFRESH_MS) return;
    this.#refreshed = now;
    this.counters.refreshes++;
    tx.after(() => {
      this.#writeTables();
      this.truth.views.repair();
    });
    this.#log.warn('the shared tables were written again: a member found them damaged');
  }

  #format(): void {
    const { slots, shape, views } = this.truth;
    this.tables.format(headerOf(shape));
    this.tables.writeSlot(slots.slots[SERVER_SLOT]!);
    this.#openPublications();
    this.transactions.run((tx) => tx.put(REGION_KEY, views.regionRecord()));
  }

  /** Everything again that an earlier server may have been about to write, and a reason for members to look at all of it. */
  #restore(): void {
    const { slots } = this.truth;
    this.#openPublications();
    this.#writeTables();
    this.transactions.run((tx) => {
      for (const slot of slots.held()) {
        // Its client has nothing yet, and the block may still be that of an earlier one.
        if (slot.sent === 0) tx.after(() => this.tables.members.clear(slot.id));
        if (slot.state === SLOT_ATTACHED) {
          // More events than there are entries for: the member looks at all of its channels.
          slots.change(tx, slot, { events: (slot.events + EVENT_ENTRIES + 1) >>> 0 });
          tx.after(() => this.tables.members.eventCount(slot.id, slot.events));
        }
        tx.after(() => {
          if (slot.reply !== null) this.tables.members.reply(slot.id, slot.lastSeq, slot.reply);
          this.#doorbells.ring(slot.id);
        });
      }
      this.members.settle(tx, slots.slots);
    });
  }

  #openPublications(): void {
    const { views, shape } = this.truth;
    const { membership, words } = this.tables;
    views.publishTo(new Publication(words, membership, views.view, views.newest));
    if (this.#directory === null) return;
    const place = writeDirectory(this.#directory, shape.slots, shape.uuid);
    views.publishTo(new Publication(new Int32Array(this.#directory), place, views.view, views.newest));
  }

  /** Header, slots and channels as they are in truth, under members that use them: values that were right stay. */
  #writeTables(): void {
    const { slots, channels, spaces, shape } = this.truth;
    this.tables.repairHeader(headerOf(shape));
    for (const slot of slots.slots) this.tables.writeSlot(slot);
    const { tables } = this;
    const writeChannel = tables.writeChannel.bind(tables);
    rewrite(channels.open, shape.channels, writeChannel, (number) => tables.freeChannel(number));
    if (spaces === null) return;
    const writeSpace = tables.writeSpace.bind(tables);
    rewrite(spaces.all, MAX_SPACES, writeSpace, (number) => tables.freeSpace(number));
  }
}

/** Writes the entries of a table that there are, and frees all others. */
function rewrite<T extends { readonly number: number }>(
  entries: Iterable<T>,
  count: number,
  write: (entry: T) => void,
  free: (number: number) => void,
): void {
  const there = new Set<number>();
  for (const entry of entries) {
    there.add(entry.number);
    write(entry);
  }
  for (let number = 0; number < count; number++) if (!there.has(number)) free(number);
}

/** Reasons whose bearer had time to leave everybody awake who was. */
const ANNOUNCED: ReadonlySet<number> = new Set([REASON_CLOSED, REASON_MIGRATED, REASON_UNPLUGGED]);
