import { z } from 'zod';
import { type Seat, seatOf, type View } from './directory.ts';

const count = z.int().min(0);
const messageSchema = z.discriminatedUnion('kind', [
  /** Asks not to be left out for a lease, from `sent` on by the sender's clock. */
  z.strictObject({ kind: z.literal('ask'), epoch: count, incarnation: count.min(1), sent: z.number() }),
  z.strictObject({ kind: z.literal('promise'), epoch: count, incarnation: count.min(1), sent: z.number() }),
  /** Nothing of this incarnation is mapped any more: what was promised to it need not be kept. */
  z.strictObject({ kind: z.literal('release'), incarnation: count.min(1) }),
]);

export type PromiseMessage = z.output<typeof messageSchema>;

/** What another host said; null: it makes no sense. */
export function parsePromise(text: string): PromiseMessage | null {
  try {
    return messageSchema.parse(JSON.parse(text));
  } catch {
    // The caller says so.
    return null;
  }
}

/** What clocks may differ by in rate, as in Acceptor. */
const DRIFT = 0.1;

/**
 * Leases without the directory: while it does not answer, every other host of a view promises not to go on without the one that asks.
 * Nobody else could have its pages: a host that is not in the view has none. A promise is kept even when the directory is back, and says
 * something else.
 */
export class Promises {
  readonly #node: number;
  readonly #leaseMs: number;
  /** Given, by node. */
  readonly #given = new Map<number, { readonly incarnation: number; readonly until: number }>();
  /** Received for one view: from whom, and when that promise had been asked for. */
  #received = new Map<number, number>();
  #epoch = -1;

  constructor(node: number, leaseMs: number) {
    this.#node = node;
    this.#leaseMs = leaseMs;
  }

  /** Whether this host promises it to that one: only of the view that both of them know. */
  give(view: View, epoch: number, seat: Seat, now: number): boolean {
    if (view.epoch !== epoch || seatOf(view, seat.node)?.incarnation !== seat.incarnation) return false;
    this.#given.set(seat.node, { incarnation: seat.incarnation, until: now + this.#leaseMs * (1 + DRIFT) });
    return true;
  }

  /** Until when a view must wait, because it leaves somebody out who was promised that it does not; 0: it need not. */
  holds(view: View, now: number): number {
    let until = 0;
    for (const [node, given] of this.#given) {
      if (now >= given.until) this.#given.delete(node);
      else if (seatOf(view, node)?.incarnation !== given.incarnation) until = Math.max(until, given.until);
    }
    return until;
  }

  release({ node, incarnation }: Seat): void {
    if (this.#given.get(node)?.incarnation === incarnation) this.#given.delete(node);
  }

  received(from: number, epoch: number, sent: number): void {
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#received = new Map();
    }
    this.#received.set(from, Math.max(sent, this.#received.get(from) ?? sent));
  }

  /** The end of the lease that all others of the view have promised; without others it is one from `now` on. */
  until(view: View, now: number): number {
    const others = view.seats.filter(({ node }) => node !== this.#node);
    if (others.length === 0) return now + this.#leaseMs;
    if (view.epoch !== this.#epoch) return Number.NEGATIVE_INFINITY;
    const asked = others.map(({ node }) => this.#received.get(node) ?? Number.NEGATIVE_INFINITY);
    return Math.min(...asked) + this.#leaseMs;
  }

  /** This host is another one from now on: what was promised to it is not promised any more. */
  forget(): void {
    this.#received = new Map();
    this.#epoch = -1;
  }
}
