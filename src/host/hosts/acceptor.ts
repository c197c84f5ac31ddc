import { type Decided, MAX_NODES, NOTHING_DECIDED, type Seat, seatOf, sits } from './directory.ts';

/** What a host must not forget, not even when its machine is switched off. */
export interface Durable {
  readonly incarnation: number;
  /** The highest ballot promised; nothing of a lower one is accepted any more. */
  readonly promised: number;
  /** The ballot of `value`; 0: of nothing. */
  readonly accepted: number;
  readonly value: Decided;
  /** Nothing of that incarnation is mapped anywhere. */
  readonly clean: boolean;
}

export const NEW_HOST: Durable = {
  incarnation: 0,
  promised: 0,
  accepted: 0,
  value: NOTHING_DECIDED,
  clean: true,
};

/** What clocks may differ by in rate: whoever grants a lease keeps to it this much longer than it lasts. */
const DRIFT = 0.1;

interface Grant {
  readonly incarnation: number;
  readonly until: number;
}

/**
 * One host's vote: on what is decided (a register in the manner of CASPaxos) and on leases. A lease is a promise not to vote for a
 * view without its holder while it lasts; because majorities meet, a view without a host is decided only after that host's lease.
 */
export class Acceptor {
  readonly #leaseMs: number;
  readonly #save: (durable: Durable) => void;
  readonly #grants = new Map<number, Grant>();
  /** Grants that are not renewed: a host wants to go on without them. */
  readonly #stopped = new Map<number, Grant & { readonly by: number }>();
  /** The newest incarnation each host has told of itself. */
  readonly #told = new Map<number, number>();
  #durable: Durable;

  /** `save` returns when it is on disk. What was granted before `now` is not known any more, and kept to all the same. */
  constructor(durable: Durable, leaseMs: number, now: number, save: (durable: Durable) => void) {
    this.#durable = durable;
    this.#leaseMs = leaseMs;
    this.#save = save;
    for (const seat of durable.value.view.seats) this.#promise(seat, now);
  }

  get durable(): Durable {
    return this.#durable;
  }

  /** A host says which incarnation it is; what an earlier one held is fenced by then. */
  hear({ node, incarnation }: Seat): void {
    if (incarnation > (this.#told.get(node) ?? 0)) this.#told.set(node, incarnation);
  }

  /** Whether that seat has this host's vote for another lease, counted from when it asked. */
  grant(seat: Seat, now: number): boolean {
    if (!sits(this.#durable.value.view, seat.node, seat.incarnation)) return false;
    const stopped = this.#stopped.get(seat.node);
    if (stopped !== undefined && stopped.incarnation === seat.incarnation && now < stopped.until)
      return false;
    this.#promise(seat, now);
    return true;
  }

  incarnate(incarnation: number): void {
    this.#keep({ ...this.#durable, incarnation, clean: false });
  }

  /** The incarnation has ended, and nobody maps anything of it. */
  clean(): void {
    this.#keep({ ...this.#durable, clean: true });
  }

  prepare(ballot: number): boolean {
    if (ballot <= this.#durable.promised) return false;
    this.#keep({ ...this.#durable, promised: ballot });
    return true;
  }

  /** 'lease': somebody it leaves out may still believe to be in. That one's lease is not renewed here, so that asking again helps. */
  accept(ballot: number, value: Decided, now: number): 'accepted' | 'ballot' | 'lease' {
    if (ballot < this.#durable.promised) return 'ballot';
    const by = ballot % MAX_NODES;
    for (const { node, incarnation } of value.view.seats) {
      const stopped = this.#stopped.get(node);
      // It wants them after all: it had not heard all there was to hear.
      if (stopped?.by === by && stopped.incarnation === incarnation) this.#stopped.delete(node);
    }
    let held = false;
    for (const [node, grant] of this.#grants) {
      if (now >= grant.until || (this.#told.get(node) ?? 0) > grant.incarnation) this.#grants.delete(node);
      else if (seatOf(value.view, node)?.incarnation !== grant.incarnation) {
        this.#stopped.set(node, { by, incarnation: grant.incarnation, until: now + 2 * this.#leaseMs });
        held = true;
      }
    }
    if (held) return 'lease';
    this.#keep({ ...this.#durable, promised: ballot, accepted: ballot, value });
    return 'accepted';
  }

  #promise({ node, incarnation }: Seat, now: number): void {
    this.#grants.set(node, { incarnation, until: now + this.#leaseMs * (1 + DRIFT) });
  }

  #keep(durable: Durable): void {
    this.#durable = durable;
    this.#save(durable);
  }
}
