import { Acceptor, type Durable } from './acceptor.ts';
import { seats } from './decisions.ts';
import { type Change, type Decided, type HostState, NOTHING_DECIDED, type Seat, sits } from './directory.ts';
import { Proposer } from './proposer.ts';
import type { StaticMessage } from './static-messages.ts';

export interface StaticEffects {
  send(to: number, message: StaticMessage): void;
  /** Returns when it is on disk. */
  save(durable: Durable): void;
  decided(decided: Decided): void;
  state(state: HostState): void;
  lease(until: number): void;
  random(): number;
}

export interface StaticShape {
  readonly node: number;
  /** Hosts in the list. */
  readonly hosts: number;
  readonly leaseMs: number;
  /** Before the end of a lease: what it takes to take every page from every member. */
  readonly fenceMs: number;
}

interface Heard {
  incarnation: number;
  at: number;
  hears: readonly number[];
}

/** Of a lease; but one in this many milliseconds at least, so that hosts find together. */
const BEATS = 6;
const LONGEST_BEAT_MS = 1000;

/**
 * A host of a static list, without sockets, files or clocks: all that happens is told with the time it happens at. Views and spaces are
 * decided by a majority of the list (Acceptor, Proposer); whoever is the first of those alive proposes the views, and if that one
 * does not, the next.
 */
export class StaticCore {
  readonly #shape: StaticShape;
  readonly #effects: StaticEffects;
  readonly #acceptor: Acceptor;
  readonly #proposer: Proposer;
  readonly #heard = new Map<number, Heard>();
  /** By host: until when it has this one's lease in its hands. */
  readonly #granted = new Map<number, number>();
  #state: HostState = 'joining';
  /** What it voted for before it was off may never have been decided: it asks again. */
  #decided: Decided = NOTHING_DECIDED;
  #incarnation: number;
  #nextBeat: number;
  #until = Number.NEGATIVE_INFINITY;
  /** Since when another view is wanted than there is. */
  #wantedSince: number | null = null;
  #proposing = false;
  /** Hosts that know that this one leaves; null: it does not. */
  #left: Set<number> | null = null;

  constructor(shape: StaticShape, durable: Durable, now: number, effects: StaticEffects) {
    this.#shape = shape;
    this.#effects = effects;
    this.#incarnation = durable.incarnation;
    this.#nextBeat = now;
    const own = (message: StaticMessage): void => this.receive(shape.node, message, this.#now);
    this.#now = now;
    this.#acceptor = new Acceptor(durable, shape.leaseMs, now, (kept) => effects.save(kept));
    this.#proposer = new Proposer(shape.node, shape.hosts, shape.leaseMs / 4, {
      broadcast: (message) => {
        this.#others((node) => effects.send(node, message));
        own(message);
      },
      decided: (value) => {
        this.#others((node) => effects.send(node, { kind: 'decided', value }));
        this.#learn(value);
      },
      random: () => effects.random(),
    });
    this.#proposer.saw(durable.promised);
    this.#incarnate();
  }

  /** Of the last call. */
  #now: number;

  get state(): HostState {
    return this.#state;
  }

  get decided(): Decided {
    return this.#decided;
  }

  get incarnation(): number {
    return this.#incarnation;
  }

  /** Until when nobody takes what this host holds; meaningless unless it serves. */
  get leaseUntil(): number {
    return this.#until;
  }

  get trouble(): string | null {
    if (this.#state === 'joining') {
      const alive = this.#alive().length;
      if (alive * 2 <= this.#shape.hosts)
        return `${alive} of ${this.#shape.hosts} hosts hear each other, and it takes more than half`;
    }
    return this.#proposer.trouble;
  }

  /** When tick() wants to be called next at the latest. */
  get nextTick(): number {
    const fence = this.#state === 'serving' ? this.#until - this.#shape.fenceMs : Number.POSITIVE_INFINITY;
    return Math.min(this.#nextBeat, fence, this.#proposer.nextTick);
  }

  tick(now: number): void {
    this.#now = now;
    if (this.#state === 'closed') return;
    // First of all: the process may have stood still.
    this.#look();
    if (now >= this.#nextBeat) this.#beat();
    this.#wish();
    this.#proposer.tick(now);
  }

  /** Somebody can be reached who could not be. */
  greet(now: number): void {
    this.#nextBeat = now;
    this.tick(now);
  }

  change(change: Change, until: number, done: (decided: Decided | null) => void, now: number): void {
    this.#now = now;
    if (this.#state === 'closed') done(null);
    else this.#proposer.propose(change, until, done, now);
  }

  /** Everything of this host is fenced. */
  rejoin(now: number): void {
    this.#now = now;
    if (this.#state !== 'fencing') return;
    this.#incarnate();
    this.#become('joining');
    this.#beat();
  }

  /** The engine has fenced what is here. */
  lapse(now: number): void {
    this.#now = now;
    this.#until = Number.NEGATIVE_INFINITY;
    this.#look();
  }

  /** Before close(), when nothing of this host is mapped any more: others need not wait for its lease. It says nothing of itself from now on. */
  leave(now: number): void {
    this.#now = now;
    if (this.#state === 'closed') return;
    this.#left = new Set([this.#shape.node]);
    this.#others((node) => this.#effects.send(node, { kind: 'leave', incarnation: this.#incarnation }));
  }

  /** Whether all hosts that this one hears know that it leaves. */
  get left(): boolean {
    return this.#alive().every((node) => this.#left?.has(node));
  }

  /** `clean`: nothing of this host is mapped any more. */
  close(clean: boolean): void {
    if (this.#state === 'closed') return;
    this.#become('closed');
    this.#proposer.close();
    if (clean) this.#acceptor.clean();
  }

  receive(from: number, message: StaticMessage, now: number): void {
    this.#now = now;
    if (this.#state === 'closed') return;
    const answer = (reply: StaticMessage): void => {
      if (from === this.#shape.node) this.receive(from, reply, now);
      else this.#effects.send(from, reply);
    };
    const acceptor = this.#acceptor;
    switch (message.kind) {
      case 'beat': {
        const { incarnation, hears, version } = message;
        const last = this.#heard.get(from);
        // Something that was long on its way.
        if (last !== undefined && incarnation < last.incarnation) return;
        this.#heard.set(from, { incarnation, hears, at: now });
        // It is to know that it is heard.
        if (last === undefined || last.incarnation < incarnation) this.#nextBeat = now;
        const seat = { node: from, incarnation };
        acceptor.hear(seat);
        if (acceptor.grant(seat, now)) answer({ kind: 'grant', incarnation, sent: message.sent });
        if (version < this.#decided.version) answer({ kind: 'decided', value: this.#decided });
        return;
      }
      case 'leave': {
        // As if the next one were there; what is still on its way of this one is of the past.
        const incarnation = message.incarnation + 1;
        acceptor.hear({ node: from, incarnation });
        this.#heard.set(from, { incarnation, hears: [], at: Number.NEGATIVE_INFINITY });
        this.#nextBeat = now;
        answer({ kind: 'left' });
        return;
      }
      case 'left':
        this.#left?.add(from);
        return;
      case 'grant':
        if (message.incarnation === this.#incarnation) this.#grant(from, message.sent);
        return;
      case 'prepare': {
        const { ballot } = message;
        this.#proposer.saw(ballot);
        const { accepted, value, promised } = acceptor.durable;
        if (acceptor.prepare(ballot)) {
          if (from !== this.#shape.node) this.#proposer.giveWay(now);
          answer({ kind: 'promise', ballot, accepted, value });
        } else answer({ kind: 'refuse', ballot, promised, why: 'ballot' });
        return;
      }
      case 'promise':
        this.#proposer.promised(from, message.ballot, message.accepted, message.value);
        return;
      case 'accept': {
        const { ballot, value } = message;
        const result = acceptor.accept(ballot, value, now);
        if (result === 'accepted') answer({ kind: 'accepted', ballot });
        else answer({ kind: 'refuse', ballot, promised: acceptor.durable.promised, why: result });
        return;
      }
      case 'accepted':
        this.#proposer.accepted(from, message.ballot, now);
        return;
      case 'refuse':
        this.#proposer.refused(message.ballot, message.promised, message.why, now);
        return;
      case 'decided':
        this.#proposer.goOn(now);
        this.#learn(message.value);
    }
  }

  #incarnate(): void {
    this.#incarnation = this.#acceptor.durable.incarnation + 1;
    this.#acceptor.incarnate(this.#incarnation);
    this.#acceptor.hear({ node: this.#shape.node, incarnation: this.#incarnation });
    this.#granted.clear();
    this.#until = Number.NEGATIVE_INFINITY;
  }

  #learn(value: Decided): void {
    if (value.version <= this.#decided.version) return;
    this.#decided = value;
    // Before anybody acts on a view: this host may not be in it any more.
    this.#look();
    this.#effects.decided(value);
  }

  #grant(from: number, sent: number): void {
    const until = sent + this.#shape.leaseMs;
    if (until > (this.#granted.get(from) ?? Number.NEGATIVE_INFINITY)) this.#granted.set(from, until);
    const majority = Math.floor(this.#shape.hosts / 2) + 1;
    // As long as a majority holds to it: the shortest of the longest ones.
    const ends = [...this.#granted.values()].sort((a, b) => b - a);
    const end = ends[majority - 1];
    if (end === undefined || end <= this.#until || !this.#mayExtend()) return;
    this.#until = end;
    this.#effects.lease(end);
    this.#look();
  }

  /** A lease that has ended is not made longer: others may have gone on already. */
  #mayExtend(): boolean {
    this.#look();
    return this.#state !== 'fencing';
  }

  /** Whether it serves, and whether it still may. */
  #look(): void {
    const { node, fenceMs } = this.#shape;
    const runs = this.#now < this.#until - fenceMs;
    const sitting = sits(this.#decided.view, node, this.#incarnation);
    if (this.#state === 'joining' && runs && sitting) this.#become('serving');
    else if (this.#state === 'serving' && !(runs && sitting)) this.#become('fencing');
  }

  #become(state: HostState): void {
    this.#state = state;
    this.#effects.state(state);
  }

  #beat(): void {
    const { node, leaseMs } = this.#shape;
    this.#nextBeat = this.#now + Math.min(leaseMs / BEATS, LONGEST_BEAT_MS);
    // One that fences is as good as gone: it comes back as another.
    if (this.#state === 'fencing' || this.#left !== null) return;
    const message: StaticMessage = {
      kind: 'beat',
      incarnation: this.#incarnation,
      sent: this.#now,
      hears: this.#alive().filter((other) => other !== node),
      version: this.#decided.version,
    };
    this.#others((other) => this.#effects.send(other, message));
    this.receive(node, message, this.#now);
  }

  /** Hosts heard of within a lease, in the order of the list, and this one. */
  #alive(): number[] {
    const { node, hosts, leaseMs } = this.#shape;
    return Array.from({ length: hosts }, (_, other) => other).filter(
      (other) =>
        other === node || this.#now - (this.#heard.get(other)?.at ?? Number.NEGATIVE_INFINITY) < leaseMs,
    );
  }

  /** The first of those alive proposes who is to be in the view; if nothing comes of it, the next does as well. */
  #wish(): void {
    const wanted = this.#wanted();
    const { view } = this.#decided;
    const same =
      wanted.length === view.seats.length &&
      wanted.every(({ node, incarnation }) => sits(view, node, incarnation));
    if (same || wanted.length * 2 <= this.#shape.hosts || this.#state === 'fencing' || this.#left !== null) {
      this.#wantedSince = null;
      return;
    }
    this.#wantedSince ??= this.#now;
    const rank = wanted.findIndex(({ node }) => node === this.#shape.node);
    if (this.#proposing || rank < 0 || this.#now - this.#wantedSince < (rank * this.#shape.leaseMs) / 2)
      return;
    this.#proposing = true;
    const until = this.#now + this.#shape.leaseMs;
    const done = (): void => {
      this.#proposing = false;
    };
    // As of when it is tried, which may be later: by then another host may be heard of.
    const wish: Change = (decided) => {
      const now = this.#wanted();
      return now.length * 2 > this.#shape.hosts ? seats(now)(decided) : decided;
    };
    this.#proposer.propose(wish, until, done, this.#now);
  }

  /** Hosts that all hear each other: pages go between any two. Who stands earlier in the list stays. */
  #wanted(): Seat[] {
    const { node: self } = this.#shape;
    const wanted: Seat[] = [];
    const hears = (a: number, b: number): boolean =>
      a === self ? this.#alive().includes(b) : (this.#heard.get(a)?.hears.includes(b) ?? false);
    for (const node of this.#alive()) {
      if (!wanted.every((seat) => hears(seat.node, node) && hears(node, seat.node))) continue;
      const incarnation = node === self ? this.#incarnation : this.#heard.get(node)!.incarnation;
      wanted.push({ node, incarnation });
    }
    return wanted;
  }

  #others(visit: (node: number) => void): void {
    for (let node = 0; node < this.#shape.hosts; node++) if (node !== this.#shape.node) visit(node);
  }
}
