import { PAGE_BYTES } from '../../memory/layout.ts';
import type { HostsBinding, NodeEngine } from '../../native/hosts-binding.ts';
import type { Log } from '../log.ts';
import type { SpaceRecord } from '../region/spaces.ts';
import { homesOf } from './decisions.ts';
import type { SharedSpace } from './directory.ts';
import type { SpreadRegion } from './spread-region.ts';

/** Pages of other hosts that there is room for at least. */
const LEAST_CACHE = 64;

export interface LocalSpace {
  readonly id: number;
  /** In the region's table. */
  readonly number: number;
  readonly name: string;
  readonly pages: number;
  /** Of the view that its engine has. */
  epoch: number;
  /** Its engine has had a view with the others: without one it is by itself, and knows of no page. */
  joined: boolean;
  fencing: boolean;
  fenced: boolean;
}

interface Parts {
  readonly region: SpreadRegion;
  readonly engine: NodeEngine;
  readonly least: HostsBinding['leastBytes'];
  readonly share: number;
  readonly directory: { readonly node: number };
  readonly log: Log;
}

/** This host's parts of the spread spaces: memory of the region, and what the engine knows of it. */
export class LocalSpaces {
  readonly #parts: Parts;
  readonly #byId = new Map<number, LocalSpace>();
  #onFenced: () => void = () => {};

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get all(): readonly LocalSpace[] {
    return [...this.#byId.values()];
  }

  /** Whether one is served here by that name, or was and its members have not let go of it yet. */
  named(name: string): boolean {
    return this.all.some((local) => local.name === name);
  }

  get(id: number): LocalSpace | null {
    return this.#byId.get(id) ?? null;
  }

  record(id: number): Readonly<SpaceRecord> | null {
    const local = this.#byId.get(id);
    if (local === undefined) return null;
    for (const space of this.#parts.region.spaces!.all) if (space.number === local.number) return space;
    return null;
  }

  holders(id: number): number {
    return this.record(id)?.holders.length ?? 0;
  }

  /** Why it cannot be; null: it is there. */
  add(space: SharedSpace, view: { epoch: number; alive: bigint; forms: boolean }): string | null {
    const { region, engine, log } = this.#parts;
    const shape = {
      pageShift: space.pageShift,
      pages: BigInt(Math.ceil(space.bytes / 2 ** space.pageShift)),
      homes: homesOf(space.formed),
      consistency: space.consistency,
      replicas: space.replicas,
    };
    const pages = this.#pagesFor(shape);
    const { id, name, bytes, pageShift, consistency, replicas, persistent } = space;
    // The control part: a page, and one for each slot.
    const systemPages = 1 + region.slots;
    const part = { id, name, bytes, pageShift, consistency, replicas, persistent, pages, systemPages };
    const record =
      pages === null ? null : region.run((tx) => region.spaces!.addSpread(tx, { ...part, pages }));
    if (record === null) {
      log.warn({ space: name, bytes }, 'no room for this host to take part in a space');
      return 'a host has no room for its part';
    }
    engine.addSpace({
      ...shape,
      ...view,
      id,
      at: record.firstPage * PAGE_BYTES,
      bytes: record.pages * PAGE_BYTES,
      epoch: BigInt(view.epoch),
    });
    this.#byId.set(id, {
      id,
      name,
      number: record.number,
      pages: record.pages,
      epoch: view.epoch,
      joined: view.forms,
      fencing: false,
      fenced: false,
    });
    return null;
  }

  /** It is served here no longer; members that map it keep the memory until they let go of it. */
  drop(id: number): void {
    const local = this.#byId.get(id);
    if (local === undefined) return;
    const { engine, region } = this.#parts;
    // Those who have it open are to see that it was removed; 'fenced' comes when all have.
    if (this.holders(id) > 0 && !local.fenced) {
      if (!local.fencing) engine.fence(id, true);
      local.fencing = true;
      return;
    }
    engine.removeSpace(id);
    this.#byId.delete(id);
    region.run((tx) => region.spaces!.dropSpread(tx, local.number));
  }

  /** The lease ends: everything is taken from everybody. */
  fence(): void {
    for (const local of this.#byId.values()) {
      if (!local.fencing) this.#parts.engine.fence(local.id);
      local.fencing = true;
    }
  }

  fenced(id: number): void {
    const local = this.#byId.get(id);
    if (local !== undefined) local.fenced = true;
    if (this.#allFenced()) this.#onFenced();
  }

  /** The engine fences it by itself; false: that was wanted. */
  lapsed(id: number): boolean {
    const local = this.#byId.get(id);
    if (local === undefined || local.fencing) return false;
    local.fencing = true;
    return true;
  }

  /** Resolves when everything is fenced, with true, or after `ms`. */
  async ended(ms: number): Promise<boolean> {
    if (!this.#allFenced()) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#onFenced = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.#allFenced();
  }

  #allFenced(): boolean {
    return this.all.every((local) => local.fenced);
  }

  /** Whether nothing is left of what was fenced. */
  clear(): boolean {
    for (const local of this.all) if (local.fenced) this.drop(local.id);
    return this.#byId.size === 0;
  }

  /** As much as the whole space needs, or what the share leaves; null: not even the least. */
  #pagesFor(shape: Parameters<HostsBinding['leastBytes']>[0] & { readonly replicas: number }): number | null {
    const { region, least, directory, share } = this.#parts;
    const pagesFor = (cache: number): number =>
      Math.ceil(least(shape, directory.node, region.slots, cache) / PAGE_BYTES);
    const taken = this.all.reduce((sum, { pages }) => sum + pages, 0);
    const room = Math.floor(region.heapPages * share) - taken;
    if (pagesFor(LEAST_CACHE) > room) return null;
    // What others keep may have to be kept here one day, beside the least.
    const spare = shape.replicas > 1 ? LEAST_CACHE : 0;
    const most = pagesFor(Math.max(LEAST_CACHE, Number(shape.pages) + spare));
    if (most <= room) return most;
    const framePages = 2 ** (shape.pageShift - 12);
    return pagesFor(LEAST_CACHE + Math.floor((room - pagesFor(LEAST_CACHE)) / framePages));
  }
}
