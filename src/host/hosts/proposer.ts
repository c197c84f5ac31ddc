import type { Change, Decided } from './directory.ts';
import { MAX_NODES } from './directory.ts';
import type { StaticMessage } from './static-messages.ts';

export interface ProposerEffects {
  /** To every host there is, this one included. */
  broadcast(message: StaticMessage): void;
  decided(value: Decided): void;
  /** 0 to 1. */
  random(): number;
}

interface Pending {
  readonly change: Change;
  readonly done: (decided: Decided | null) => void;
  readonly until: number;
}

interface Attempt {
  readonly ballot: number;
  readonly answered: Set<number>;
  /** Those that the value proposed contains; empty until a majority has promised. */
  carried: readonly Pending[];
  proposed: Decided | null;
  best: { accepted: number; value: Decided } | null;
  readonly since: number;
  /** Somebody answered that a lease has to end first. */
  held: boolean;
}

/** What a decision takes, until one was made. After two hosts proposed at once, each waits for some of that; twice as much each time. */
const FIRST_MS = 20;
/** Of what a decision takes: how long another host's is waited for. */
const TURN = 3;
/** How long one try waits for answers: some may be lost with a connection. */
const TRY = 8;
const LEAST_TRY_MS = 500;

/** Has changes decided, any number of them at a time, one try after the other. Two hosts that propose at once both try again, after a random time. */
export class Proposer {
  readonly #node: number;
  readonly #majority: number;
  readonly #patienceMs: number;
  readonly #effects: ProposerEffects;
  #pending: Pending[] = [];
  #attempt: Attempt | null = null;
  #round = 0;
  #notBefore = Number.NEGATIVE_INFINITY;
  /** Tries since the last decision that somebody else's came in the way of. */
  #conflicts = 0;
  /** What decisions took, milliseconds: disks and processors that are busy make them long. */
  #takes = FIRST_MS;
  /** Why the last try came to nothing. */
  #trouble: string | null = null;

  /** `patienceMs`: how long one try may wait for answers at most. */
  constructor(node: number, hosts: number, patienceMs: number, effects: ProposerEffects) {
    this.#node = node;
    this.#majority = Math.floor(hosts / 2) + 1;
    this.#patienceMs = patienceMs;
    this.#effects = effects;
  }

  get trouble(): string | null {
    return this.#trouble;
  }

  /** When tick() wants to be called at the latest. */
  get nextTick(): number {
    if (this.#attempt !== null) return this.#attempt.since + this.#patience;
    if (this.#pending.length === 0) return Number.POSITIVE_INFINITY;
    return Math.min(this.#notBefore, ...this.#pending.map(({ until }) => until));
  }

  /** `done` is called once, with null after `until`. */
  propose(change: Change, until: number, done: (decided: Decided | null) => void, now: number): void {
    this.#pending.push({ change, done, until });
    this.tick(now);
  }

  /** A ballot of somebody else: the next one here is higher. */
  saw(ballot: number): void {
    this.#round = Math.max(this.#round, Math.floor(ballot / MAX_NODES));
  }

  /** Another host is about to decide something. Two that go on at once both have to begin again. */
  giveWay(now: number): void {
    this.#notBefore = Math.max(this.#notBefore, now + Math.min(this.#patienceMs, TURN * this.#takes));
  }

  /** It has: whoever waited goes on, but not all at once. */
  goOn(now: number): void {
    this.#notBefore = Math.min(this.#notBefore, now + this.#effects.random() * this.#takes);
  }

  tick(now: number): void {
    if (this.#attempt !== null && now - this.#attempt.since >= this.#patience) {
      // They may only be slow.
      if (!this.#attempt.held) this.#takes = Math.min(this.#patienceMs, this.#takes * 2);
      this.#fail(now, 'not enough hosts answer', this.#patience);
    }
    for (const { done } of this.#pending.filter(({ until }) => now >= until)) done(null);
    this.#pending = this.#pending.filter(({ until }) => now < until);
    if (this.#attempt !== null || this.#pending.length === 0 || now < this.#notBefore) return;
    this.#round++;
    const ballot = this.#round * MAX_NODES + this.#node;
    this.#attempt = {
      ballot,
      answered: new Set(),
      carried: [],
      proposed: null,
      best: null,
      since: now,
      held: false,
    };
    this.#effects.broadcast({ kind: 'prepare', ballot });
  }

  promised(from: number, ballot: number, accepted: number, value: Decided): void {
    const attempt = this.#attempt;
    if (attempt === null || attempt.ballot !== ballot || attempt.proposed !== null) return;
    attempt.answered.add(from);
    if (attempt.best === null || accepted > attempt.best.accepted) attempt.best = { accepted, value };
    if (attempt.answered.size < this.#majority) return;
    const base = attempt.best.value;
    attempt.carried = [...this.#pending];
    const changed = attempt.carried.reduce((decided, { change }) => change(decided), base);
    // What was found may not be decided yet: it is accepted once more even when nothing is to be changed.
    attempt.proposed = changed === base ? base : { ...changed, version: base.version + 1 };
    attempt.answered.clear();
    this.#effects.broadcast({ kind: 'accept', ballot, value: attempt.proposed });
  }

  accepted(from: number, ballot: number, now: number): void {
    const attempt = this.#attempt;
    if (attempt === null || attempt.ballot !== ballot || attempt.proposed === null) return;
    attempt.answered.add(from);
    if (attempt.answered.size < this.#majority) return;
    const { proposed, carried, since } = attempt;
    this.#takes = Math.max(FIRST_MS, (this.#takes + (now - since)) / 2);
    this.#attempt = null;
    this.#trouble = null;
    this.#conflicts = 0;
    this.#pending = this.#pending.filter((pending) => !carried.includes(pending));
    this.#effects.decided(proposed);
    for (const { done } of carried) done(proposed);
  }

  refused(ballot: number, promised: number, why: 'ballot' | 'lease', now: number): void {
    this.saw(promised);
    if (this.#attempt?.ballot !== ballot) return;
    // Another majority may still come together; one that waits for a lease comes later.
    if (why === 'ballot') {
      const most = Math.min(this.#patienceMs, this.#takes * 2 ** this.#conflicts++);
      this.#fail(now, 'another host decides something at the same time', most);
    } else {
      this.#attempt.held = true;
      this.#trouble = 'the lease of a host that is gone has to end first';
    }
  }

  /** Tells all who wait that nothing will come of it. */
  close(): void {
    this.#attempt = null;
    for (const { done } of this.#pending.splice(0)) done(null);
  }

  get #patience(): number {
    return Math.min(this.#patienceMs, Math.max(LEAST_TRY_MS, TRY * this.#takes));
  }

  #fail(now: number, why: string, most: number): void {
    this.#attempt = null;
    this.#trouble ??= why;
    this.#notBefore = now + this.#effects.random() * most;
  }
}
