import {
  type Change,
  type Decided,
  type Directory,
  type DirectoryListener,
  type HostState,
  MAX_NODES,
  sits,
} from './directory.ts';
import { type Comparison, troubleOf } from './etcd-client.ts';
import { type EtcdOptions, enter, enterAgain } from './etcd-entry.ts';
import { NO_LOOK, read, type Seen, wishOf } from './etcd-reading.ts';
import { EtcdWatch } from './etcd-watch.ts';
import { type PromiseMessage, Promises, parsePromise } from './promises.ts';

/** Of a lease: between two renewals, and between two requests for promises. */
const RENEW_PART = 1 / 6;
const ASK_PART = 1 / 24;

/**
 * Hosts that find each other in etcd: a key with a lease for each that is there, one for what is decided, changed by compare and put. A
 * host is left out when its key is gone, which etcd sees to no earlier than that host knows its lease to end. While etcd is away nothing is
 * decided, and hosts go on as long as all of the view promise each other to (Promises).
 */
export class EtcdDirectory implements Directory {
  readonly node: number;
  readonly unclean: boolean;
  readonly #options: EtcdOptions;
  readonly #prefix: string;
  #listener: DirectoryListener | null = null;
  readonly #promises: Promises;
  readonly #watch: EtcdWatch;
  #seen: Seen;
  /** Of what was seen, what this host goes by: not what breaks a promise. */
  #known: Decided;
  #state: HostState = 'joining';
  #incarnation = 0;
  #lease: string | null = null;
  #until = Number.NEGATIVE_INFINITY;
  /** Why etcd was not read; and why it took nothing, though something is to be written. */
  #trouble: string | null = null;
  #unwritten: string | null = null;
  #changes = 0;
  #away: Date | null = null;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;
  #lookAgain = false;
  #renewing = false;

  private constructor(options: EtcdOptions, node: number, seen: Seen) {
    this.#options = options;
    this.#prefix = options.prefix;
    this.node = node;
    // Whoever closes in good order takes its key away, and others have waited for one whose lease has ended.
    this.unclean = seen.present.has(node);
    this.#seen = seen;
    this.#known = seen.decided;
    this.#promises = new Promises(node, options.leaseMs);
    this.#watch = new EtcdWatch(options.client, options.prefix, () => void this.look());
  }

  /** Finds this host's number, or takes the next one. Rejects with ERR_IVSHMEM_HOSTS_ETCD. */
  static async open(options: EtcdOptions): Promise<EtcdDirectory> {
    const { client, prefix, name } = options;
    for (;;) {
      const seen = read(await client.range(prefix), prefix, NO_LOOK);
      for (const [node, host] of seen.known)
        if (host.name === name) return new EtcdDirectory(options, node, seen);
      const node = Array.from({ length: MAX_NODES }, (_, i) => i).find((one) => !seen.known.has(one));
      if (node === undefined) throw new RangeError(`etcd has ${MAX_NODES} hosts below ${prefix} already`);
      const key = `${prefix}nodes/${node}`;
      // Another host may take it at the same time; then there is a next one.
      await client.put([{ key, revision: 0 }], [{ key, value: JSON.stringify({ name, incarnation: 0 }) }]);
    }
  }

  get state(): HostState {
    return this.#state;
  }

  get decided(): Decided {
    return this.#known;
  }

  get incarnation(): number {
    return this.#incarnation;
  }

  get leaseMs(): number {
    return this.#options.leaseMs;
  }

  get trouble(): string | null {
    return this.#trouble ?? this.#unwritten;
  }

  get away(): Date | null {
    return this.#away;
  }

  nameOf(node: number): string | null {
    return this.#seen.known.get(node)?.name ?? null;
  }

  addressOf(node: number): string | null {
    return this.#seen.present.get(node)?.address ?? null;
  }

  start(listener: DirectoryListener): void {
    this.#listener = listener;
    this.#watch.start();
    this.#step();
  }

  change(change: Change, ms: number): Promise<Decided | null> {
    this.#changes++;
    return this.#change(change, performance.now() + ms).finally(() => this.#changes--);
  }

  async #change(change: Change, end: number): Promise<Decided | null> {
    while (this.#state !== 'closed' && performance.now() < end) {
      const { decided, revision } = this.#seen;
      const next = change(decided);
      // What was read is decided: nothing to do is an answer, if it was read after the question.
      if (next === decided && revision > 0 && this.#trouble === null) {
        await this.look();
        if (change(this.#seen.decided) === this.#seen.decided) return this.#seen.decided;
        continue;
      }
      if (next !== decided) {
        const decision = await this.#decide(next, revision, []);
        if (decision !== null) return decision;
      }
      await this.look();
      if (this.trouble !== null) await this.#watch.pause();
    }
    return null;
  }

  told(from: number, text: string): void {
    const message = parsePromise(text);
    const view = this.#known.view;
    const now = performance.now();
    if (message === null) {
      this.#options.log.warn({ host: this.nameOf(from) }, 'another host says what makes no sense');
    } else if (message.kind === 'promise') {
      if (message.incarnation !== this.#incarnation || this.#state !== 'serving') return;
      this.#promises.received(from, message.epoch, message.sent);
      this.#extend(this.#promises.until(view, now));
    } else if (message.kind === 'release') {
      this.#promises.release({ node: from, incarnation: message.incarnation });
      this.#learn();
      void this.look();
    } else if (this.#away === null) {
      // It may not have been noticed here yet.
      void this.look();
    } else if (this.#state === 'serving') {
      const { epoch, incarnation, sent } = message;
      if (this.#promises.give(view, epoch, { node: from, incarnation }, now))
        this.#tell(from, { kind: 'promise', epoch, incarnation, sent });
    }
  }

  rejoin(): void {
    if (this.#state !== 'fencing') return;
    this.#release();
    const lease = this.#lease;
    this.#lease = null;
    this.#until = Number.NEGATIVE_INFINITY;
    this.#become('joining');
    // Others need not wait for its end. If it cannot be told, they do.
    if (lease !== null) void this.#options.client.revoke(lease).catch((error) => this.#failed(error));
    this.#step();
  }

  lapse(): void {
    this.#until = Number.NEGATIVE_INFINITY;
    this.#judge();
  }

  async close(clean: boolean): Promise<void> {
    if (this.#state === 'closed') return;
    const lease = this.#lease;
    if (clean && this.#incarnation > 0) this.#release();
    this.#become('closed');
    this.#watch.close();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (lease !== null && clean)
      await this.#options.client.revoke(lease).catch((error) => this.#failed(error));
  }

  /** Reads everything; once more when asked meanwhile. */
  look(): Promise<void> {
    this.#lookAgain = true;
    this.#looking ??= this.#read();
    return this.#looking;
  }

  async #read(): Promise<void> {
    try {
      // Also when asked while something is written: whoever asks has what was read after that.
      while (this.#lookAgain && this.#state !== 'closed') {
        this.#lookAgain = false;
        try {
          this.#seen = read(await this.#options.client.range(this.#prefix), this.#prefix, this.#seen);
          this.#answered();
          this.#learn();
        } catch (error) {
          this.#failed(error);
        }
        if (!this.#lookAgain) await this.#wish();
      }
    } finally {
      this.#looking = null;
    }
  }

  /** Goes by what was read, unless it leaves somebody out who was promised something else: then later. */
  #learn(): void {
    const { decided } = this.#seen;
    const newer = decided.version > this.#known.version;
    if (newer && this.#promises.holds(decided.view, performance.now()) === 0) {
      this.#known = decided;
      this.#judge();
      this.#listener?.decided(decided);
    } else this.#judge();
  }

  /** Who is there is to be in the view. The first of them sees to it, after a while any other. */
  async #wish(): Promise<void> {
    if (this.#state === 'fencing' || this.#state === 'closed') return;
    const wish = wishOf(this.#seen, this.node, this.#prefix);
    if (wish === null && this.#changes === 0) this.#unwritten = null;
    if (wish === null || this.#promises.holds(wish.next.view, performance.now()) > 0) return;
    const { next, conditions } = wish;
    // Another host may have been faster: the watch tells.
    await this.#decide(next, this.#seen.revision, conditions);
  }

  /** What is decided then; null: something else was decided meanwhile, or a condition does not hold. */
  async #decide(next: Decided, revision: number, conditions: readonly Comparison[]): Promise<Decided | null> {
    const key = `${this.#prefix}decided`;
    const decision = { ...next, version: next.version + 1 };
    try {
      const puts = [{ key, value: JSON.stringify(decision) }];
      const taken = await this.#options.client.put([{ key, revision }, ...conditions], puts);
      this.#unwritten = null;
      if (!taken) return null;
      if (this.#looking === null) await this.look();
      else this.#lookAgain = true;
      return decision;
    } catch (error) {
      // It may be read all the same: whoever asks next finds out.
      this.#unwritten = troubleOf(error);
      return null;
    }
  }

  /** Renews the lease a few times in its length; the process may have stood still, so that comes first. */
  #step(): void {
    this.#judge();
    if (this.#state === 'closed') return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const { leaseMs, fenceMs } = this.#options;
    const now = performance.now();
    this.#learn();
    this.#ask(now);
    const pause = leaseMs * (this.#away === null ? RENEW_PART : ASK_PART);
    const fence = this.#state === 'serving' ? this.#until - fenceMs - now : Number.POSITIVE_INFINITY;
    this.#timer = setTimeout(() => this.#step(), Math.max(0, Math.min(pause, fence)));
    this.#timer.unref();
    if (this.#renewing || this.#state === 'fencing') return;
    this.#renewing = true;
    void this.#renew()
      .catch((error) => this.#failed(error))
      .finally(() => {
        this.#renewing = false;
      });
  }

  #release(): void {
    const incarnation = this.#incarnation;
    this.#promises.forget();
    for (const { node } of this.#known.view.seats)
      if (node !== this.node) this.#tell(node, { kind: 'release', incarnation });
  }

  /** While etcd does not answer. */
  #ask(now: number): void {
    if (this.#away === null || this.#state !== 'serving') return;
    const { view } = this.#known;
    for (const { node } of view.seats)
      if (node !== this.node)
        this.#tell(node, { kind: 'ask', epoch: view.epoch, incarnation: this.#incarnation, sent: now });
    this.#extend(this.#promises.until(view, now));
  }

  #tell(node: number, message: PromiseMessage): void {
    this.#options.tell(node, JSON.stringify(message));
  }

  async #renew(): Promise<void> {
    const { client, leaseMs } = this.#options;
    if (this.#lease === null) {
      await this.#enter();
      return;
    }
    const lease = this.#lease;
    const asked = performance.now();
    const { seconds, revision } = await client.keepAlive(lease);
    if (this.#lease !== lease) return;
    if (seconds === 0 && this.#state === 'serving' && this.#runs() && (await this.#enterAgain())) return;
    if (seconds === 0) {
      // Gone: others may go on already. Nothing to fence when it never served.
      if (this.#state === 'joining') this.#lease = null;
      this.#until = Number.NEGATIVE_INFINITY;
      this.#judge();
    } else this.#extend(asked + Math.min(seconds * 1000, leaseMs));
    // Of changes the watch tells; but not one whose other end is gone, or does not hear of them itself.
    if (this.trouble !== null || revision > this.#seen.at) await this.look();
  }

  /** As another incarnation. */
  async #enter(): Promise<void> {
    const { client, leaseMs } = this.#options;
    const asked = performance.now();
    const { lease } = await client.grant(Math.ceil(leaseMs / 1000));
    await this.look();
    const incarnation = await enter(this.#options, this.node, this.#seen, lease);
    if (incarnation === null || this.#state !== 'joining') {
      await client.revoke(lease);
      return;
    }
    this.#incarnation = incarnation;
    this.#lease = lease;
    this.#extend(asked + leaseMs);
    await this.look();
  }

  /** As the same: its lease at etcd has ended meanwhile, and the one from the others has not. False: others may have gone on. */
  async #enterAgain(): Promise<boolean> {
    const { client, leaseMs } = this.#options;
    const asked = performance.now();
    const { lease } = await client.grant(Math.ceil(leaseMs / 1000));
    await this.look();
    const seat = { node: this.node, incarnation: this.#incarnation };
    const entered = this.#state === 'serving' && (await enterAgain(this.#options, seat, this.#seen, lease));
    if (!entered || this.#state !== 'serving') {
      await client.revoke(lease);
      return false;
    }
    this.#lease = lease;
    this.#extend(asked + leaseMs);
    return true;
  }

  #extend(until: number): void {
    this.#judge();
    if (until <= this.#until || this.#state === 'fencing' || this.#state === 'closed') return;
    this.#until = until;
    this.#listener?.lease(until);
    this.#judge();
  }

  #judge(): void {
    const runs = this.#runs();
    // The newest too: who is left out there does not wait for anybody's promise.
    const sitting = [this.#known, this.#seen.decided].every(({ view }) =>
      sits(view, this.node, this.#incarnation),
    );
    if (this.#state === 'joining' && runs && sitting) this.#become('serving');
    else if (this.#state === 'serving' && !(runs && sitting)) this.#become('fencing');
  }

  #runs(): boolean {
    return performance.now() < this.#until - this.#options.fenceMs;
  }

  #become(state: HostState): void {
    this.#state = state;
    this.#listener?.state(state);
  }

  /** Kept for operators; the next step tries again. */
  #failed(error: unknown): void {
    this.#trouble = troubleOf(error);
    if (this.#away !== null) return;
    this.#away = new Date();
    this.#options.log.warn({ err: error, since: this.#away }, 'the directory is away');
    // The others are asked at once: the lease ends.
    setImmediate(() => this.#step());
  }

  #answered(): void {
    this.#trouble = null;
    if (this.#away !== null) this.#options.log.info({ since: this.#away }, 'the directory is back');
    this.#away = null;
  }
}
