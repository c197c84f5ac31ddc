import { locksName } from '../../dsm/spread/locks-name.ts';
import { KIND_DISCONNECT, KIND_JOIN, KIND_LEAVE, REASON_EVICTED } from '../../memory/membership.ts';
import type { EngineEvent, HostsBinding, NodeEngine } from '../../native/hosts-binding.ts';
import type { Log } from '../log.ts';
import type { Transaction } from '../records/transaction.ts';
import type { SpaceOpen } from '../region/requests.ts';
import type { Slot } from '../region/slots.ts';
import type { Opened } from '../region/spaces.ts';
import type { Removed, SpreadDesk } from '../region/spread-desk.ts';
import { create, drop, homesOf, isReady, prepared, renew, use } from './decisions.ts';
import {
  aliveMask,
  type Change,
  type Directory,
  type DirectoryListener,
  type SharedSpace,
  sits,
} from './directory.ts';
import { engineLease, fenceMs, leftBehindMs } from './lease.ts';
import { type LocalSpace, LocalSpaces } from './local-spaces.ts';
import { Mesh } from './mesh.ts';
import { Openings } from './openings.ts';
import { Removals } from './removals.ts';
import { Reports } from './reports.ts';
import type { SpreadRegion } from './spread-region.ts';

export interface RegionHostsParts {
  readonly region: SpreadRegion;
  readonly engine: NodeEngine;
  readonly least: HostsBinding['leastBytes'];
  readonly directory: Directory;
  /** Nothing that an earlier life of this host served is mapped any more. */
  readonly retired: Promise<void>;
  /** Of the region's memory for channels and spaces, how much spread spaces may take. */
  readonly share: number;
  readonly log: Log;
}

/** The spread spaces of a region: what the hosts decided, done here; and what members ask, put to the hosts. */
export class RegionHosts implements SpreadDesk {
  readonly reports: Reports;
  readonly #parts: RegionHostsParts;
  readonly #mesh: Mesh;
  readonly #openings: Openings;
  readonly #removals: Removals;
  readonly #locals: LocalSpaces;
  /** Members that were thrown out, since when, whose client is still there. */
  readonly #evicted = new Map<number, number>();
  /** Changes that were asked for and not answered yet. */
  readonly #asked = new Set<string>();
  /** Nodes whose connection was lost, and in which view: until there is another, nothing passes between them and this host. */
  readonly #cut = new Map<number, number>();
  readonly #timer: NodeJS.Timeout;
  readonly #stopViews: () => void;
  #again: NodeJS.Immediate | null = null;
  #retired = false;
  #closing: Promise<void> | null = null;
  #closed = false;

  constructor(parts: RegionHostsParts) {
    const { region, engine, directory, log } = parts;
    this.#parts = parts;
    this.#mesh = new Mesh(engine, directory, log);
    this.#locals = new LocalSpaces(parts);
    const served = () => this.#locals.all;
    this.reports = new Reports({ engine, directory, served, region: region.name });
    this.#openings = new Openings(region.name, directory, {
      // Before it has joined, no page is to be had from anybody.
      local: (space) => (this.#locals.get(space.id)?.joined ? this.#locals.record(space.id) : null),
      create: (space) => this.#ask(`create ${space.name}`, create(space)),
      use: (space) => this.#ask(`use ${space.id}`, use(space.id, directory.node, true)),
      leaving: (space) => this.#asked.has(`leave ${space.id}`),
      later: (slot, ms) => void setTimeout(() => region.visit(slot), ms).unref(),
    });
    const visit = (slot: number): void => region.visit(slot);
    this.#removals = new Removals({ region: region.name, directory, companion: locksName, visit });
    for (const slot of region.attached()) engine.member(slot, region.eventfd(slot, -1));
    this.#stopViews = region.onView(({ kind, slot, reason }) => {
      if (kind === KIND_JOIN || kind === KIND_DISCONNECT) this.#gone(slot);
      if (kind === KIND_JOIN) engine.member(slot, region.eventfd(slot, -1));
      if (kind !== KIND_LEAVE) return;
      // It still has the memory: what it maps is given to others when it has let go of it, or its client is gone.
      if (reason === REASON_EVICTED) this.#evicted.set(slot, performance.now());
      else engine.member(slot, -1);
      this.#openings.forget(slot);
      this.#removals.forget(slot);
      this.#later();
    });
    // That a member closed a space is nothing anybody waits for.
    this.#timer = setInterval(() => this.#later(), directory.leaseMs / 4).unref();
    const listener: DirectoryListener = {
      decided: () => this.#later(),
      state: (state) => {
        log.info({ state, trouble: directory.trouble }, 'this host among the others');
        // At once: the lease ends.
        if (state === 'fencing' || state === 'closed') this.#locals.fence();
        this.#later();
      },
      lease: (until) => {
        const { fence, members } = engineLease(until, directory.leaseMs);
        engine.lease(fence, members);
      },
    };
    void parts.retired.then(() => {
      this.#retired = true;
      if (this.#closing === null) directory.start(listener);
    });
  }

  open(tx: Transaction, slot: Slot, seq: number, open: SpaceOpen): Opened | null {
    const opened = this.#openings.ask(slot, seq, open);
    if (opened !== null && opened.space !== null)
      this.#parts.region.spaces!.holdSpread(tx, slot.id, opened.space.number);
    return opened;
  }

  remove(slot: Slot, seq: number, name: string, force: boolean): Removed | null {
    return this.#removals.ask(slot, seq, name, force);
  }

  removeNow(name: string, force: boolean): Promise<Removed> {
    return this.#removals.remove(name, force);
  }

  event(event: EngineEvent): void {
    const { directory, region, log } = this.#parts;
    if (this.#closed) return;
    switch (event.kind) {
      case 'up':
        this.#mesh.event(event);
        directory.up?.(event.node);
        break;
      case 'down':
        this.#mesh.event(event);
        this.#cut.set(event.node, directory.decided.view.epoch);
        directory.down?.(event.node);
        break;
      case 'told':
        if (!this.reports.told(event.node, event.text)) directory.told?.(event.node, event.text);
        return;
      case 'silent':
        log.warn(event, 'a member does not give up a page');
        region.evict(event.slot);
        break;
      case 'lapsed':
        // The engine was faster than this thread: others count on what is gone here.
        if (this.#locals.lapsed(event.space)) directory.lapse();
        break;
      case 'fenced':
        this.#locals.fenced(event.space);
        break;
      case 'lost':
        this.reports.lost(event.space, event.page);
        log.debug(event, 'a page is lost');
        return;
      default:
        log.warn(event, 'spread spaces');
    }
    this.#later();
  }

  /** Takes everything from the members first, so that others need not wait for the lease. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { directory, engine } = this.#parts;
    this.#locals.fence();
    const fenced = await this.#locals.ended(fenceMs(directory.leaseMs));
    const clean = fenced && this.#retired;
    clearInterval(this.#timer);
    if (this.#again !== null) clearImmediate(this.#again);
    this.#stopViews();
    this.#mesh.close();
    // Others answer that.
    await directory.close(clean);
    this.#closed = true;
    engine.close();
  }

  #later(): void {
    if (this.#closing !== null) return;
    this.#again ??= setImmediate(() => {
      this.#again = null;
      if (this.#closing === null) this.#step();
    });
  }

  /** Compares what is with what was decided, and does what is missing. */
  #step(): void {
    const { directory, region } = this.#parts;
    if (directory.state === 'fencing') {
      // Its frames are nobody else's any more, and its leases have ended: what it does not say is not waited for.
      const late = performance.now() - leftBehindMs(directory.leaseMs);
      for (const [slot, since] of this.#evicted) if (since < late) this.#gone(slot);
    }
    if (directory.state === 'fencing' && this.#locals.clear()) directory.rejoin();
    if (directory.state === 'serving') {
      const spaces = directory.decided.spaces.filter((space) => space.region === region.name);
      for (const local of this.#locals.all) {
        const space = spaces.find(({ id }) => id === local.id);
        if (space === undefined || space.failed !== null) this.#locals.drop(local.id);
      }
      this.#mend();
      // Who hears through the locks of a space that a host is gone finds nothing under way any more that it had released.
      const locks = new Set(spaces.map(({ name }) => locksName(name)));
      const last = ({ name }: SharedSpace): number => Number(locks.has(name));
      for (const space of spaces.toSorted((a, b) => last(a) - last(b))) this.#serve(space);
    }
    for (const slot of this.#openings.slots) region.visit(slot);
  }

  #gone(slot: number): void {
    if (this.#evicted.delete(slot)) this.#parts.engine.member(slot, -1);
  }

  /** Nothing goes over a connection that was lost once, until another view is installed: asked for until there is one. */
  #mend(): void {
    const { view } = this.#parts.directory.decided;
    for (const [node, epoch] of this.#cut) {
      if (view.epoch > epoch || !view.seats.some((seat) => seat.node === node)) this.#cut.delete(node);
      else if (this.#mesh.isUp(node)) this.#ask(`renew ${epoch}`, renew(epoch));
    }
  }

  #serve(space: SharedSpace): void {
    const { directory } = this.#parts;
    const { view } = directory.decided;
    const { node, incarnation } = directory;
    const whole = view.seats.every((seat) => this.#mesh.isUp(seat.node));
    if (space.failed !== null) {
      if (view.seats[0]?.node === node) this.#ask(`drop ${space.id}`, drop(space.id));
      return;
    }
    const local = this.#locals.get(space.id);
    if (local === null) {
      // One of that name was removed, and members here have not let go of it yet.
      if (this.#locals.named(space.name)) return;
      const forms = sits(space.formed, node, incarnation) && !isReady(space);
      // Who is nobody's home has nothing to form: it joins when the others are ready.
      const idle = forms && node >= homesOf(space.formed);
      if (idle && !space.ready.includes(node)) this.#ask(`ready ${space.id}`, prepared(space.id, node, null));
      if (whole && !idle) this.#begin(space, forms);
      return;
    }
    if (!isReady(space)) return;
    if (whole && local.epoch < view.epoch) this.#install(local, view.epoch, aliveMask(view));
    if (!local.joined && local.epoch === view.epoch) this.#ask(`renew ${view.epoch}`, renew(view.epoch));
    const uses = this.#locals.holders(space.id) > 0 || this.#openings.wants(space.name);
    if (!uses && space.users.includes(node)) {
      // A member may open it before that is decided; it asks again then.
      this.#ask(`leave ${space.id}`, use(space.id, node, false));
    } else if (uses && !space.users.includes(node) && this.#locals.holders(space.id) > 0)
      this.#ask(`use ${space.id}`, use(space.id, node, true));
  }

  #begin(space: SharedSpace, forms: boolean): void {
    const { directory } = this.#parts;
    const { node, decided } = directory;
    // Others say nothing about a space that is forming, and one that joins is heard from the next view on.
    const view = forms ? space.formed : decided.view;
    const alive = forms ? aliveMask(view) : 1n << BigInt(node);
    if (!forms && !isReady(space)) return;
    const failed = this.#locals.add(space, { epoch: view.epoch, alive, forms });
    if (forms) this.#ask(`ready ${space.id}`, prepared(space.id, node, failed));
    else if (failed === null) this.#later();
  }

  #install(local: LocalSpace, epoch: number, alive: bigint): void {
    this.#parts.engine.install(local.id, BigInt(epoch), alive);
    local.epoch = epoch;
    local.joined = true;
  }

  #ask(what: string, change: Change): void {
    const { directory, log } = this.#parts;
    if (this.#asked.has(what)) return;
    this.#asked.add(what);
    directory
      .change(change, directory.leaseMs)
      .catch((error: unknown) => log.error({ err: error }, 'the directory failed'))
      .finally(() => {
        this.#asked.delete(what);
        this.#later();
      });
  }
}
