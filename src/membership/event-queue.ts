import type { MemberRecord } from '../memory/member-record.ts';
import { type Change, difference, type MembershipEvent } from './changes.ts';

/** More events than this for one who does not ask, and they are merged. Any difference of two tables has fewer. */
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
 * The events of one `for await`. One who asks too seldom gets, instead of what would not fit, the difference between what it
 * has seen and what is: memory stays bounded, and what it knows at the end is right.
 */
export class EventQueue implements AsyncIterableIterator<MembershipEvent> {
  readonly #source: QueueSource;
  /** What the caller knows: the records as of the last event it got. */
  readonly #known: (MemberRecord | null)[];
  #queue: Change[] = [];
  #merged = false;
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
    if (this.#ended || this.#merged) return;
    if (this.#queue.length + changes.length > QUEUED_EVENTS) {
      this.#queue = [];
      this.#merged = true;
    } else for (const change of changes) this.#queue.push(change);
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
    this.#merged = false;
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
    if (this.#merged) {
      this.#merged = false;
      this.#queue = difference(this.#known, this.#source.records, this.#source.view);
    }
    const change = this.#queue.shift();
    if (change === undefined) return null;
    this.#known[change.slot] = change.after;
    return change;
  }

  #takeError(): Error {
    const error = this.#error!;
    this.#error = null;
    return error;
  }
}
