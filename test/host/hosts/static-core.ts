import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { type Durable, NEW_HOST } from '../../../src/host/hosts/acceptor.ts';
import { create, findSpace, prepared, use } from '../../../src/host/hosts/decisions.ts';
import { type Decided, sits } from '../../../src/host/hosts/directory.ts';
import { StaticCore } from '../../../src/host/hosts/static-core.ts';
import { messageSchema, type StaticMessage } from '../../../src/host/hosts/static-messages.ts';
import { wantedSpace } from './support/wanted-space.ts';

const LEASE = 1000;
const FENCE = 200;

/** Hosts with clocks of their own, and a network that delays, loses and parts; all from one seed. */
class World {
  readonly hosts: Host[];
  readonly decisions = new Map<number, Decided>();
  readonly faults: string[] = [];
  /** Of the network: how long at most, how many of a hundred are lost, and who is cut off from whom. */
  delay = 5;
  loss = 0;
  cut: (from: number, to: number) => boolean = () => false;
  now = 0;
  #seed: number;
  #queue: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

  constructor(hosts: number, seed: number, skew = 0) {
    this.#seed = seed;
    this.hosts = Array.from(
      { length: hosts },
      (_, node) => new Host(this, node, hosts, 1 + skew * (2 * this.random() - 1)),
    );
    for (const host of this.hosts) host.start();
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

  at(at: number, run: () => void): void {
    this.#queue.push({ at, order: this.#order++, run });
  }

  send(from: number, to: number, message: StaticMessage): void {
    if (this.cut(from, to) || this.random() * 100 < this.loss) return;
    // As on the wire.
    const text = JSON.stringify(message);
    this.at(this.now + this.random() * this.delay, () => {
      if (this.cut(from, to)) return;
      this.hosts[to]!.receive(from, messageSchema.parse(JSON.parse(text)));
    });
  }

  run(ms: number): void {
    const end = this.now + ms;
    while (this.now < end) {
      const wakes = this.hosts.map((host) => host.nextTick);
      this.#queue.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = Math.min(end, this.#queue[0]?.at ?? end, ...wakes);
      this.now = Math.max(this.now, next);
      while (this.#queue[0] !== undefined && this.#queue[0].at <= this.now) this.#queue.shift()!.run();
      for (const host of this.hosts) if (host.nextTick <= this.now) host.tick();
    }
  }

  until(what: string, condition: () => boolean, ms = 20 * LEASE): void {
    for (let waited = 0; waited < ms; waited += LEASE / 10) {
      if (condition()) return;
      this.run(LEASE / 10);
    }
    const states = this.hosts.map(({ core }) => core && [core.state, core.trouble, core.decided.view]);
    throw new Error(`${what}: not after ${ms} ms; ${JSON.stringify(states)}`);
  }

  /** A host learnt this, so that a majority has accepted it. */
  learnt(decided: Decided): void {
    const known = this.decisions.get(decided.version);
    if (known !== undefined) {
      if (!isDeepStrictEqual(known, decided)) this.faults.push('two decisions of one version');
      return;
    }
    this.decisions.set(decided.version, decided);
    for (const other of this.decisions.values()) {
      const same = isDeepStrictEqual(other.view, decided.view);
      if (same !== (other.view.epoch === decided.view.epoch)) this.faults.push('two views of one epoch');
      if (other.version < decided.version && other.view.epoch > decided.view.epoch)
        this.faults.push('an epoch went back');
    }
    for (const host of this.hosts) {
      if (host.holds && !sits(decided.view, host.node, host.held)) {
        this.faults.push(`host ${host.node} was left out while its lease ran`);
      }
    }
  }
}

class Host {
  core: StaticCore | null = null;
  /** Incarnation whose pages may be mapped here, until `#until` in true time. */
  held = 0;
  served = 0;
  readonly node: number;
  readonly #world: World;
  readonly #hosts: number;
  readonly #rate: number;
  readonly #offset: number;
  #durable: Durable = NEW_HOST;
  #until = 0;

  constructor(world: World, node: number, hosts: number, rate: number) {
    this.#world = world;
    this.node = node;
    this.#hosts = hosts;
    this.#rate = rate;
    this.#offset = node * 1e6;
  }

  get holds(): boolean {
    return this.held !== 0 && this.#world.now < this.#until;
  }

  get nextTick(): number {
    return this.core === null ? Number.POSITIVE_INFINITY : this.#true(this.core.nextTick);
  }

  start(): void {
    const core = new StaticCore(
      { node: this.node, hosts: this.#hosts, leaseMs: LEASE, fenceMs: FENCE },
      this.#durable,
      this.#clock,
      {
        send: (to, message) => this.#world.send(this.node, to, message),
        save: (durable) => {
          this.#durable = durable;
        },
        decided: (decided) => this.#world.learnt(decided),
        lease: (until) => {
          this.#until = this.#true(until);
        },
        state: (state) => {
          if (state === 'serving') {
            this.held = core.incarnation;
            this.served++;
          }
          // It uses what it was given for that to the end.
          if (state === 'fencing') {
            const { now } = this.#world;
            if (now > this.#true(core.leaseUntil)) this.held = 0;
            this.#world.at(now + (FENCE * this.#world.random()) / (this.#rate * 1.01), () => {
              if (this.core !== core) return;
              this.held = 0;
              core.rejoin(this.#clock);
            });
          }
        },
        random: () => this.#world.random(),
      },
    );
    this.core = core;
  }

  /** Its memory is as good as fenced when it is gone: a server that comes back takes everything from its members first. */
  die(): void {
    this.core = null;
    this.held = 0;
  }

  tick(): void {
    this.core?.tick(this.#clock);
  }

  /** In good order. */
  leave(): void {
    this.held = 0;
    this.core!.leave(this.#clock);
  }

  receive(from: number, message: StaticMessage): void {
    this.core?.receive(from, message, this.#clock);
  }

  propose(change: Parameters<StaticCore['change']>[0], done: (decided: Decided | null) => void): void {
    this.core!.change(change, this.#clock + 50 * LEASE, done, this.#clock);
  }

  change(change: Parameters<StaticCore['change']>[0], ms = 5 * LEASE): Promise<Decided | null> {
    return new Promise((resolve) => this.core!.change(change, this.#clock + ms, resolve, this.#clock));
  }

  get #clock(): number {
    return this.#offset + this.#world.now * this.#rate;
  }

  #true(clock: number): number {
    return (clock - this.#offset) / this.#rate + 1e-9;
  }
}

const serving = (world: World, nodes: readonly number[]): boolean =>
  nodes.every((node) => {
    const core = world.hosts[node]!.core;
    return (
      core?.state === 'serving' && String(core.decided.view.seats.map((seat) => seat.node)) === String(nodes)
    );
  });

t.test('hosts find together, and a space is made once', async (t) => {
  const world = new World(3, 1);
  world.until('all serve', () => serving(world, [0, 1, 2]));
  const space = { ...wantedSpace, name: 'matrix', bytes: 1 << 20, persistent: false };
  const asked = world.hosts.map((host) => host.change(create(space)));
  world.run(3 * LEASE);
  const ids = (await Promise.all(asked)).map((decided) => findSpace(decided!, 'r', 'matrix')?.id);
  t.same(ids, [1, 1, 1]);
  for (const host of world.hosts) void host.change(prepared(1, host.node, null));
  void world.hosts[1]!.change(use(1, 1, true));
  world.run(3 * LEASE);
  t.same([...world.hosts[2]!.core!.decided.spaces[0]!.ready].sort(), [0, 1, 2]);
  t.same(world.hosts[2]!.core!.decided.spaces[0]!.users, [1]);
  world.hosts[1]!.die();
  world.until('the others go on', () => serving(world, [0, 2]));
  t.same(world.hosts[0]!.core!.decided.spaces, [], 'and nobody has the space open any more');
  t.same(world.faults, []);
});

t.test('the small side of a partition ends within a lease, the large one goes on', (t) => {
  const world = new World(5, 2, 0.04);
  world.until('all serve', () => serving(world, [0, 1, 2, 3, 4]));
  world.cut = (from, to) => from < 2 !== to < 2;
  const since = world.now;
  world.until('the small side fences', () =>
    [0, 1].every((node) => world.hosts[node]!.core!.state !== 'serving'),
  );
  t.ok(world.now - since <= LEASE * 1.2, `after ${world.now - since} ms`);
  world.until('the large side goes on', () => serving(world, [2, 3, 4]));
  t.match(world.hosts[0]!.core!.trouble, /2 of 5 hosts/);
  world.cut = () => false;
  world.until('all serve again', () => serving(world, [0, 1, 2, 3, 4]));
  t.same(world.faults, []);
  t.end();
});

t.test('hosts that all want something at once get it in turn, however slow they are', async (t) => {
  const world = new World(3, 9);
  world.until('all serve', () => serving(world, [0, 1, 2]));
  world.delay = LEASE / 10;
  let done = 0;
  const begun = world.now;
  for (const host of world.hosts) {
    const next = (n: number): void => {
      if (n === 10) return;
      const name = `${host.node}-${n}`;
      const made = (decided: Decided | null): void => {
        if (decided === null || findSpace(decided, 'r', name) === null) return;
        done++;
        next(n + 1);
      };
      host.propose(create({ ...wantedSpace, name }), made);
    };
    next(0);
  }
  world.until('all is decided', () => done === 30, 100 * LEASE);
  // A decision takes two ways there and back, of half the delay on average each, and what others want goes along or comes next.
  const each = (world.now - begun) / 30;
  t.comment(`${each} ms for each`);
  t.ok(each < 6 * world.delay, `${each} ms`);
  t.same(world.faults, []);
});

t.test('who leaves in good order is not waited for, and may come back', (t) => {
  const world = new World(3, 8, 0.04);
  world.until('all serve', () => serving(world, [0, 1, 2]));
  for (const node of [0, 2]) {
    const since = world.now;
    const others = [0, 1, 2].filter((other) => other !== node);
    world.hosts[node]!.leave();
    world.until('they know', () => world.hosts[node]!.core!.left);
    world.until('the others go on', () => serving(world, others));
    // Its last lease would have run longer.
    t.ok(world.now - since < LEASE / 2, `after ${world.now - since} ms`);
    world.hosts[node]!.die();
    world.hosts[node]!.start();
    world.until('it is back', () => serving(world, [0, 1, 2]));
  }
  t.same(world.faults, []);
  t.end();
});

t.test('two hosts that do not hear each other cannot both stay', (t) => {
  const world = new World(4, 3);
  world.until('all serve', () => serving(world, [0, 1, 2, 3]));
  world.cut = (from, to) => from + to === 3 && (from === 1 || to === 1);
  world.until('the later one gives way', () => serving(world, [0, 1, 3]));
  t.same(world.faults, []);
  t.end();
});

t.test('a host that comes back before its lease ends is another one, and no worse', (t) => {
  const world = new World(2, 4);
  world.until('both serve', () => serving(world, [0, 1]));
  const epoch = world.hosts[0]!.core!.decided.view.epoch;
  world.hosts[1]!.die();
  world.run(LEASE / 10);
  world.hosts[1]!.start();
  world.until('both serve again', () => serving(world, [0, 1]), 2 * LEASE);
  t.ok(world.hosts[0]!.core!.decided.view.epoch > epoch);
  t.equal(world.hosts[0]!.served, 1, 'the other one never stopped');
  t.same(world.faults, []);
  t.end();
});

t.test('whatever happens: never left out while the lease runs, epochs grow, a majority goes on', (t) => {
  let served = 0;
  let decisions = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const size = 2 + (seed % 4);
    const world = new World(size, seed * 7919, 0.04);
    for (let step = 0; step < 40; step++) {
      const host = world.hosts[world.below(size)]!;
      const what = world.below(10);
      if (what === 0) host.die();
      else if (what <= 2 && host.core === null) host.start();
      else if (what === 3) {
        const sides = world.hosts.map(() => world.below(2));
        world.cut = (from, to) => sides[from] !== sides[to];
      } else if (what === 4) {
        const [a, b] = [world.below(size), world.below(size)];
        world.cut = (from, to) => from === a && to === b;
      } else if (what <= 6) world.cut = () => false;
      else if (what === 7) {
        world.delay = [5, 100, 700, 3000][world.below(4)]!;
        world.loss = [0, 5, 40][world.below(3)]!;
      } else if (host.core !== null) {
        const name = `space-${world.below(4)}`;
        void host.change(create({ ...wantedSpace, name }), 2 * LEASE);
      }
      world.run(world.random() * 2 * LEASE);
    }
    world.cut = () => false;
    world.delay = 5;
    world.loss = 0;
    for (const host of world.hosts) if (host.core === null) host.start();
    const all = world.hosts.map(({ node }) => node);
    world.until(`seed ${seed}: all serve in the end`, () => serving(world, all), 60 * LEASE);
    if (world.faults.length > 0) t.fail(`seed ${seed}: ${world.faults[0]}`);
    served += world.hosts.reduce((sum, host) => sum + host.served, 0);
    decisions += world.decisions.size;
  }
  t.ok(served > 200, `${served} times a host began to serve`);
  t.ok(decisions > 400, `${decisions} decisions`);
  t.end();
});
