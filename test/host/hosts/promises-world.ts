import t from 'tap';
import { seats } from '../../../src/host/hosts/decisions.ts';
import { type Decided, NOTHING_DECIDED, sits } from '../../../src/host/hosts/directory.ts';
import { Promises } from '../../../src/host/hosts/promises.ts';

/**
 * Hosts and an etcd without sockets: the rules of EtcdDirectory on leases and promises in a few lines, with clocks that differ, an etcd
 * that each host reaches or does not, and connections that part.
 */
const LEASE = 1000;
const FENCE = LEASE / 3;
const STEP = 20;

class World {
  now = 0;
  readonly hosts: Host[];
  /** By node: until when its key is there, by etcd's clock. */
  readonly keys = new Map<number, { until: number; incarnation: number }>();
  decided: Decided = NOTHING_DECIDED;
  reaches: (node: number) => boolean = () => true;
  hears: (from: number, to: number) => boolean = () => true;
  readonly faults: string[] = [];
  readonly kind: typeof Promises;
  #seed: number;
  #late: { at: number; run: () => void }[] = [];

  constructor(size: number, seed: number, kind: typeof Promises = Promises) {
    this.kind = kind;
    this.#seed = seed;
    this.hosts = Array.from(
      { length: size },
      (_, node) => new Host(this, node, 1 + 0.04 * (2 * this.random() - 1)),
    );
  }

  random(): number {
    // mulberry32
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let x = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  below(n: number): number {
    return Math.floor(this.random() * n);
  }

  later(run: () => void): void {
    this.#late.push({ at: this.now + this.random() * 3 * STEP, run });
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += STEP) {
      const due = this.#late.filter(({ at }) => at <= this.now);
      this.#late = this.#late.filter(({ at }) => at > this.now);
      for (const { run } of due) run();
      for (const [node, { until }] of this.keys) if (this.now >= until) this.keys.delete(node);
      for (const host of this.hosts) host.step();
    }
  }

  /** A host goes by a view: whoever has pages that others may take by then is a fault. */
  installed(by: number, decided: Decided): void {
    for (const host of this.hosts)
      if (
        host.node !== by &&
        host.serves &&
        host.shares(by) &&
        !sits(decided.view, host.node, host.incarnation)
      )
        this.faults.push(`at ${this.now} host ${by} went on without ${host.node}`);
  }
}

class Host {
  readonly node: number;
  incarnation = 0;
  state: 'off' | 'joining' | 'serving' = 'joining';
  goes = 0;
  until = 0;
  away = false;
  known: Decided = NOTHING_DECIDED;
  promises: Promises;
  readonly #world: World;
  readonly #rate: number;

  constructor(world: World, node: number, rate: number) {
    this.#world = world;
    this.node = node;
    this.#rate = rate;
    this.promises = new world.kind(node, LEASE);
  }

  /** Its pages are mapped: to the end of its lease, whether it is known here or not. */
  get serves(): boolean {
    return this.state === 'serving' && this.clock < this.until;
  }

  get clock(): number {
    return this.node * 1e6 + this.#world.now * this.#rate;
  }

  /** Whether that host was in the view in which this one has its pages: who was not has none of them. */
  shares(other: number): boolean {
    return this.known.view.seats.some(({ node }) => node === other);
  }

  die(): void {
    this.state = 'off';
  }

  start(): void {
    this.state = 'joining';
    this.until = 0;
    this.known = NOTHING_DECIDED;
    // It kept what was promised: a start takes longer than a lease, or is told of.
    this.promises = new this.#world.kind(this.node, LEASE);
  }

  step(): void {
    if (this.state === 'off') return;
    this.#judge();
    if (this.#world.reaches(this.node)) this.#etcd();
    else this.away = true;
    this.#judge();
    if (this.away && this.state === 'serving') this.#ask();
  }

  #etcd(): void {
    const world = this.#world;
    this.away = false;
    const { decided } = world;
    if (this.state === 'serving' && !sits(decided.view, this.node, this.incarnation)) {
      this.#fence();
      return;
    }
    if (this.state === 'joining' && this.until === 0) {
      // Nothing of the life before is mapped: then it may be another one at once.
      this.incarnation++;
    }
    // Its key: kept, or there again as the same, for nobody has left it out. A joining one begins.
    world.keys.set(this.node, { until: world.now + LEASE, incarnation: this.incarnation });
    this.until = Math.max(this.until, this.clock + LEASE);
    if (decided.version > this.known.version && this.promises.holds(decided.view, this.clock) === 0) {
      world.installed(this.node, decided);
      this.known = decided;
      if (this.state === 'joining' && sits(decided.view, this.node, this.incarnation)) {
        this.state = 'serving';
        this.goes++;
      }
    }
    const wanted = [...world.keys]
      .map(([node, { incarnation }]) => ({ node, incarnation }))
      .sort((a, b) => a.node - b.node);
    const next = seats(wanted)(decided);
    if (next === decided || this.promises.holds(next.view, this.clock) > 0) return;
    world.decided = { ...next, version: decided.version + 1 };
  }

  #ask(): void {
    const world = this.#world;
    const { view } = this.known;
    const { incarnation, clock: sent } = this;
    const { epoch } = view;
    for (const { node } of view.seats) {
      if (node === this.node || !world.hears(this.node, node)) continue;
      world.later(() => {
        const other = world.hosts[node]!;
        if (other.state !== 'serving' || !other.away || !world.hears(node, this.node)) return;
        if (!other.promises.give(other.known.view, epoch, { node: this.node, incarnation }, other.clock))
          return;
        world.later(() => {
          if (this.state !== 'serving' || this.incarnation !== incarnation) return;
          this.promises.received(node, epoch, sent);
          this.#extend();
        });
      });
    }
    this.#extend();
  }

  #extend(): void {
    this.#judge();
    if (this.state === 'serving')
      this.until = Math.max(this.until, this.promises.until(this.known.view, this.clock));
  }

  #judge(): void {
    if (this.state === 'serving' && this.clock >= this.until - FENCE) this.#fence();
  }

  #fence(): void {
    this.promises.forget();
    this.state = 'joining';
    this.until = 0;
  }
}

/** Hosts die and come back, lose etcd and each other. */
function disturb(world: World): number {
  const size = world.hosts.length;
  let lasted = 0;
  world.run(2 * LEASE);
  for (let step = 0; step < 25; step++) {
    const host = world.hosts[world.below(size)]!;
    const what = world.below(8);
    if (what === 0) host.die();
    else if (what === 1 && host.state === 'off') host.start();
    else if (what === 2) world.reaches = () => false;
    else if (what === 3) world.reaches = (node) => node !== host.node;
    else if (what === 4) world.reaches = () => true;
    else if (what === 5) world.hears = (from, to) => from !== host.node && to !== host.node;
    else if (what === 6) world.hears = () => true;
    const before = world.hosts
      .filter(({ state }) => state === 'serving')
      .map((one) => ({ one, goes: one.goes }));
    world.run(world.random() * 3 * LEASE);
    if (before.every(({ one, goes }) => one.away && one.state === 'serving' && one.goes === goes))
      lasted += before.length;
  }
  return lasted;
}

t.test('nobody goes on without a host whose lease runs, and all find together again', async (t) => {
  let goes = 0;
  let lasted = 0;
  for (let seed = 1; seed <= 150; seed++) {
    const world = new World(2 + (seed % 3), seed * 7919);
    lasted += disturb(world);
    world.reaches = world.hears = () => true;
    for (const host of world.hosts) if (host.state === 'off') host.start();
    world.run(5 * LEASE);
    if (!world.hosts.every(({ state, known }) => state === 'serving' && known === world.decided))
      t.fail(`seed ${seed}: not all serve in the end`);
    if (world.faults.length > 0) t.fail(`seed ${seed}: ${world.faults[0]}`);
    goes += world.hosts.reduce((sum, host) => sum + host.goes, 0);
  }
  t.ok(goes > 400, `${goes} times a host began to serve`);
  t.ok(lasted > 100, `${lasted} times hosts went on without etcd`);
});

t.test('promises that are not kept are found', async (t) => {
  class Careless extends Promises {
    override holds(): number {
      return 0;
    }
  }
  let faults = 0;
  for (let seed = 1; seed <= 150; seed++) {
    const world = new World(2 + (seed % 3), seed * 7919, Careless);
    disturb(world);
    faults += world.faults.length;
  }
  t.ok(faults > 0, `${faults} times`);
});
