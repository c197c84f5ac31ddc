import type { MemberRecord } from '../memory/member-record.ts';
import { type Change, difference, type MembershipEvent } from './changes.ts';

/** More events than this for one who does not ask, and those of the busiest slots are merged. Any difference of two tables has fewer. */
export const QUEUED_EVENTS = 1024;

/** Where a queue finds the state of things. */
export interface QueueSource {
  readonly view: number;
  readonly records: readonly (MemberRecord | null)[];
  /** Somebody starts or stops waiting for an event. */
  waiting(change: 1 | -1): void;
  /** The queue is done. */
  forget(queue: EventQueue): void;
}

/**
 * The events of one `for await`. One who asks too seldom gets, instead of the events of the slot that has most of them, the
 * difference between what it has seen of this slot and what is: memory stays bounded, what it knows at the end is right, and a
 * member that changes without end merges its own events only.
 */
export class EventQueue implements AsyncIterableIterator<MembershipEvent> {
  readonly #source: QueueSource;
  /** What the caller knows: the records as of the last event it got. */
  readonly #known: (MemberRecord | null)[];
  #queue: Change[] = [];
  /** Slots without events in the queue, whose difference is taken when somebody asks. */
  readonly #merged = new Set<number>();
  #takers: { resolve: (result: IteratorResult<MembershipEvent>) => void; reject: (error: Error) => void }[] =
    [];
  #error: Error | null = null;
  #ended = false;

  constructor(source: QueueSource) {
    this.#source = source;
    this.#known = [...source.records];
  }

  /** For the membership: this happened. */
  push(changes: readonly Change[]): void {
    if (this.#ended) return;
    for (const change of changes) if (!this.#merged.has(change.slot)) this.#queue.push(change);
    while (this.#queue.length > QUEUED_EVENTS) this.#mergeBusiest();
    this.#hand();
  }

  /** For the membership: nothing more will come. With an error, the next who asks gets it, after what is in the queue. */
  finish(error: Error | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#hand();
    for (const taker of this.#takers.splice(0)) {
      this.#source.waiting(-1);
      if (this.#error === null) taker.resolve({ done: true, value: undefined });
      else taker.reject(this.#takeError());
    }
    this.#source.forget(this);
  }

  next(): Promise<IteratorResult<MembershipEvent>> {
    const change = this.#shift();
    if (change !== null) return Promise.resolve({ done: false, value: change.event });
    if (this.#error !== null) return Promise.reject(this.#takeError());
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    this.#source.waiting(1);
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<MembershipEvent>> {
    this.#queue = [];
    this.#merged.clear();
    this.finish(null);
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #hand(): void {
    while (this.#takers.length > 0) {
      const change = this.#shift();
      if (change === null) return;
      this.#source.waiting(-1);
      this.#takers.shift()!.resolve({ done: false, value: change.event });
    }
  }

  #shift(): Change | null {
    if (this.#merged.size > 0) this.#fillIn();
    const change = this.#queue.shift();
    if (change === undefined) return null;
    this.#known[change.slot] = change.after;
    return change;
  }

  #mergeBusiest(): void {
    const counts = new Map<number, number>();
    for (const { slot } of this.#queue) counts.set(slot, (counts.get(slot) ?? 0) + 1);
    const [busiest] = [...counts].reduce((most, each) => (each[1] > most[1] ? each : most));
    this.#merged.add(busiest);
    this.#queue = this.#queue.filter(({ slot }) => slot !== busiest);
  }

  #fillIn(): void {
    const { records, view } = this.#source;
    const merged = this.#merged;
    // What is in the queue of the others stays, so that there is no difference of them.
    const known = records.map((record, slot) => (merged.has(slot) ? (this.#known[slot] ?? null) : record));
    const more = difference(known, records, view);
    merged.clear();
    // Stable: of events of one view, the leave stays before the join.
    if (more.length > 0)
      this.#queue = [...this.#queue, ...more].sort((a, b) => (a.event.view - b.event.view) | 0);
  }

  #takeError(): Error {
    const error = this.#error!;
    this.#error = null;
    return error;
  }
}
