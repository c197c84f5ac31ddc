import type { Log } from '../log.ts';
import type { Durable } from './acceptor.ts';
import type { Change, Decided, Directory, DirectoryListener, HostState } from './directory.ts';
import { StaticCore } from './static-core.ts';
import { messageSchema, type StaticMessage } from './static-messages.ts';

/** What the engine sends as one text (src/native/hosts-binding.ts), less a sign. */
const PART_CHARACTERS = 20_000;
const MAX_TEXT = 4 << 20;
const HIGH_SURROGATE = /[\ud800-\udbff]/;
/** How long a host that ends waits for the others to know, and how often it looks. */
const FAREWELL_MS = 2000;
const LOOK_MS = 10;

/** A host in the list. */
export interface ListedHost {
  readonly name: string;
  /** `address:port` */
  readonly address: string;
}

export interface StaticOptions {
  /** In the order of their names, the same on all hosts: a host's place is its number. */
  readonly hosts: readonly ListedHost[];
  readonly self: string;
  readonly leaseMs: number;
  readonly fenceMs: number;
  readonly store: { load(): Durable; save(durable: Durable): void };
  /** To a node whose certificate was seen; false: not connected. In order, all or nothing. */
  readonly tell: (node: number, text: string) => boolean;
  readonly log: Log;
}

/** The hosts of a list, who speak to each other through `tell` and `told`. */
export class StaticDirectory implements Directory {
  readonly node: number;
  readonly leaseMs: number;
  readonly unclean: boolean;
  readonly #options: StaticOptions;
  readonly #core: StaticCore;
  readonly #parts = new Map<number, string>();
  #listener: DirectoryListener | null = null;
  #timer: NodeJS.Timeout | null = null;
  #failed: Error | null = null;

  /** Throws ERR_IVSHMEM_HOSTS_STATE. Nothing is said to anybody before start(). */
  constructor(options: StaticOptions) {
    const { hosts, self, leaseMs, fenceMs, store } = options;
    this.#options = options;
    this.node = hosts.findIndex(({ name }) => name === self);
    this.leaseMs = leaseMs;
    const shape = { node: this.node, hosts: hosts.length, leaseMs, fenceMs };
    const durable = store.load();
    this.unclean = !durable.clean;
    this.#core = new StaticCore(shape, durable, performance.now(), {
      send: (to, message) => this.#send(to, message),
      save: (durable) => store.save(durable),
      decided: (decided) => this.#listener?.decided(decided),
      state: (state) => this.#listener?.state(state),
      lease: (until) => this.#listener?.lease(until),
      random: Math.random,
    });
  }

  get state(): HostState {
    return this.#core.state;
  }

  get decided(): Decided {
    return this.#core.decided;
  }

  get incarnation(): number {
    return this.#core.incarnation;
  }

  get trouble(): string | null {
    return this.#failed?.message ?? this.#core.trouble;
  }

  /** There is nothing but the hosts. */
  get away(): null {
    return null;
  }

  nameOf(node: number): string | null {
    return this.#options.hosts[node]?.name ?? null;
  }

  addressOf(node: number): string | null {
    return this.#options.hosts[node]?.address ?? null;
  }

  start(listener: DirectoryListener): void {
    this.#listener = listener;
    this.#run(() => this.#core.tick(performance.now()));
  }

  /** A text that another host's directory gave to its `tell`. What makes no sense is dropped and logged. */
  told(from: number, text: string): void {
    // Until the start an earlier life may have members with mappings: nobody may hear of this one.
    if (this.#listener === null) return;
    const whole = (this.#parts.get(from) ?? '') + text.slice(1);
    if (text[0] === '+' && whole.length <= MAX_TEXT) {
      this.#parts.set(from, whole);
      return;
    }
    this.#parts.delete(from);
    const message = this.#parse(whole);
    if (message === null || text[0] !== '.' || this.nameOf(from) === null || from === this.node)
      this.#options.log.warn({ host: this.nameOf(from) }, 'another host says what makes no sense');
    else this.#run(() => this.#core.receive(from, message, performance.now()));
  }

  /** Whoever was not there for the last sign of life gets one. */
  up(_node: number): void {
    if (this.#listener !== null) this.#run(() => this.#core.greet(performance.now()));
  }

  /** The connection ended: half a text is none. */
  down(node: number): void {
    this.#parts.delete(node);
  }

  change(change: Change, ms: number): Promise<Decided | null> {
    return new Promise((resolve) => {
      const now = performance.now();
      const done = (decided: Decided | null): void => resolve(decided);
      this.#run(() => this.#core.change(change, now + ms, done, now));
      if (this.#core.state === 'closed') done(null);
    });
  }

  rejoin(): void {
    this.#run(() => this.#core.rejoin(performance.now()));
  }

  lapse(): void {
    this.#run(() => this.#core.lapse(performance.now()));
  }

  async close(clean: boolean): Promise<void> {
    if (clean && this.#listener !== null) await this.#leave();
    this.#run(() => this.#core.close(clean));
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** Who does not hear of it waits for a lease. */
  async #leave(): Promise<void> {
    this.#run(() => this.#core.leave(performance.now()));
    const until = performance.now() + FAREWELL_MS;
    while (this.#core.state !== 'closed' && !this.#core.left && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }

  #send(to: number, message: StaticMessage): void {
    const text = JSON.stringify(message);
    for (let at = 0; at < text.length; ) {
      let end = Math.min(at + PART_CHARACTERS, text.length);
      // Half a character would be another one over there.
      if (HIGH_SURROGATE.test(text[end - 1]!)) end--;
      // Lost like anything that is sent to who is not there.
      if (!this.#options.tell(to, (end < text.length ? '+' : '.') + text.slice(at, end))) return;
      at = end;
    }
  }

  #parse(text: string): StaticMessage | null {
    try {
      return messageSchema.parse(JSON.parse(text));
    } catch {
      // The caller says so.
      return null;
    }
  }

  /** What this host cannot keep it does not say: without its disk it stops to take part. */
  #run(step: () => void): void {
    if (this.#failed !== null || this.#core.state === 'closed') return;
    try {
      step();
    } catch (error) {
      this.#failed = error as Error;
      this.#options.log.error({ err: error }, 'this host takes no part any more');
      this.#core.close(false);
    }
    this.#sleep();
  }

  #sleep(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#core.state === 'closed') return;
    const wait = Math.max(0, this.#core.nextTick - performance.now());
    this.#timer = setTimeout(() => this.#run(() => this.#core.tick(performance.now())), Math.ceil(wait));
    this.#timer.unref();
  }
}
