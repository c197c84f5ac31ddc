import { EventEmitter } from 'node:events';
import { forEveryone } from '../errors/for-everyone.ts';
import { SERVER_SLOT } from '../memory/layout.ts';
import type { MemberRecord } from '../memory/member-record.ts';
import type { Change, MembershipEvent } from './changes.ts';
import type { Description } from './description.ts';
import { EventQueue } from './event-queue.ts';
import { Holds } from './holds.ts';
import { isAttached, isHeld, type Member, memberOf } from './member.ts';

/** What listeners of a Membership are called with. */
export interface MembershipEvents {
  join: [event: Extract<MembershipEvent, { type: 'join' | 'update' | 'suspect' | 'recovered' }>];
  update: [event: Extract<MembershipEvent, { type: 'join' | 'update' | 'suspect' | 'recovered' }>];
  suspect: [event: Extract<MembershipEvent, { type: 'join' | 'update' | 'suspect' | 'recovered' }>];
  recovered: [event: Extract<MembershipEvent, { type: 'join' | 'update' | 'suspect' | 'recovered' }>];
  leave: [event: Extract<MembershipEvent, { type: 'leave' }>];
  /** The table is damaged and the server does not heal it; what is known stays as it was. Without a listener, a warning. */
  error: [error: Error];
}

export interface MembershipOptions {
  /**
   * Report members as `suspect` that give no sign of life for so many milliseconds (10 to 3 600 000). The server then asks each
   * of them for one, several times in this span; without it nobody is woken. The shortest span asked for by any member counts.
   */
  readonly suspectAfterMs?: number;
  /**
   * Read the membership from here instead of from the region: a directory is a memory that members cannot write, so that none of
   * them can show another a false one. A second device (openDevice), or anything with its memory; it must stay open as long.
   */
  readonly directory?: { readonly memory: ArrayBuffer };
}

/** What a membership needs of the region. */
export interface MembershipHost {
  /** Of this member. */
  readonly slot: number;
  readonly view: number;
  readonly records: readonly (MemberRecord | null)[];
  waiting(change: 1 | -1): void;
  describe(description: Description): Promise<void>;
  closed(membership: Membership): void;
}

const EVENTS: ReadonlySet<unknown> = new Set(['join', 'update', 'suspect', 'recovered', 'leave']);

/**
 * Who is in the region, and what happens to them: `for await (const event of members)`, or `members.on('leave', ...)`. All
 * members see the same numbered views. Listening and iterating keep the process alive, having a Membership does not.
 */
export class Membership extends EventEmitter<MembershipEvents> implements AsyncIterable<MembershipEvent> {
  readonly suspectAfterMs: number | undefined;
  readonly #host: MembershipHost;
  readonly #holds: Holds;
  readonly #queues = new Set<EventQueue>();
  readonly #removed = (name: unknown): void => this.#count(name, -1);
  readonly #added = (name: unknown): void => this.#count(name, 1);
  #listeners = 0;
  #closed = false;

  constructor(host: MembershipHost, suspectAfterMs?: number) {
    super();
    this.#host = host;
    this.#holds = new Holds((change) => host.waiting(change));
    this.suspectAfterMs = suspectAfterMs;
    this.#watchListeners();
  }

  /** Number of the newest view this membership knows: everything it returns is as of this view. */
  get view(): number {
    return this.#host.view;
  }

  /** This member, as the others see it; null once it has left. */
  get self(): Member | null {
    return this.get(this.#host.slot);
  }

  /** Everybody who holds a slot, in the order of slots: `joining` members too. One consistent snapshot. */
  list(): Member[] {
    const members: Member[] = [];
    for (const record of this.#host.records)
      if (isHeld(record) && record.slot !== SERVER_SLOT) members.push(memberOf(record));
    return members;
  }

  /** The member of this name, or in this slot; null when there is none. */
  get(nameOrSlot: string | number): Member | null {
    const { records } = this.#host;
    const record =
      typeof nameOrSlot === 'number'
        ? records[nameOrSlot]
        : records.find((each) => isAttached(each) && each.name === nameOrSlot);
    return isHeld(record) && record.slot !== SERVER_SLOT ? memberOf(record) : null;
  }

  /**
   * Tells the others other addresses or labels; what is left out stays. Resolves when the server has published them. Rejects with
   * ERR_IVSHMEM_MEMBERSHIP_DESCRIPTION when they do not fit, ERR_IVSHMEM_REFUSED when the server does not take them,
   * ERR_IVSHMEM_SERVER_SILENT when it does not answer for 10 s.
   */
  describe(description: Description): Promise<void> {
    return this.#host.describe(description);
  }

  /**
   * The events from now on, each iteration on its own. One that lags more than 1024 events behind gets the difference between
   * what it saw and what is, as events. Ends with close() and with the region; throws ERR_IVSHMEM_MEMBERSHIP_DAMAGED when the
   * table is damaged and the server does not heal it.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<MembershipEvent> {
    const host = this.#host;
    const queue = new EventQueue({
      get view() {
        return host.view;
      },
      get records() {
        return host.records;
      },
      waiting: this.#holds.wait,
      forget: (each) => this.#queues.delete(each),
    });
    if (this.#closed) queue.finish(null);
    else this.#queues.add(queue);
    return queue;
  }

  /** From now on listening and iterating do not keep the process alive. */
  unref(): void {
    this.#holds.unref();
  }

  /** Ends iterations, takes listeners off, and stops asking for suspects. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const queue of [...this.#queues]) queue.finish(null);
    this.removeAllListeners();
    this.#host.closed(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  override removeAllListeners(name?: keyof MembershipEvents): this {
    if (name !== undefined) return super.removeAllListeners(name);
    super.removeAllListeners();
    // It took our own away as well.
    this.#watchListeners();
    return this;
  }

  /** For the region: hands events on. The exception of a listener leaves when everybody was told. */
  deliver(changes: readonly Change[]): void {
    for (const queue of [...this.#queues]) queue.push(changes);
    forEveryone(changes, ({ event }) => (this as EventEmitter).emit(event.type, event));
  }

  /** For the region: the table cannot be read, nor healed. */
  fail(error: Error): void {
    const iterated = this.#queues.size > 0;
    for (const queue of [...this.#queues]) queue.finish(error);
    if (this.listenerCount('error') > 0) this.emit('error', error);
    else if (!iterated) process.emitWarning(error);
  }

  #watchListeners(): void {
    const plain = this as EventEmitter;
    // Before `newListener`, which it would count.
    plain.on('removeListener', this.#removed);
    plain.on('newListener', this.#added);
  }

  #count(name: unknown, change: 1 | -1): void {
    if (!EVENTS.has(name)) return;
    const before = this.#listeners > 0;
    this.#listeners += change;
    if (this.#listeners > 0 !== before) this.#holds.wait(change);
  }
}
