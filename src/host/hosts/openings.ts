import {
  OPEN_EXISTING,
  OPEN_NEW,
  STATUS_FORBIDDEN,
  STATUS_NO_HOSTS,
  STATUS_NO_SPACE,
  STATUS_OK,
  STATUS_SPACE_DIFFERS,
  STATUS_SPACE_EXISTS,
} from '../../memory/layout.ts';
import type { SpaceOpen } from '../region/requests.ts';
import type { Slot } from '../region/slots.ts';
import type { Opened, SpaceRecord } from '../region/spaces.ts';
import { findSpace, homesOf, isReady, type NewSpace } from './decisions.ts';
import type { Directory, SharedSpace } from './directory.ts';

/** Members take a server for silent after 10 s. */
const PATIENCE_MS = 8000;

interface Opening {
  readonly seq: number;
  readonly epoch: number;
  readonly until: number;
  readonly maker: string;
  readonly name: string;
}

export interface OpeningEffects {
  /** The record of a space that is served here; null: not yet. */
  local(space: SharedSpace): Readonly<SpaceRecord> | null;
  create(space: NewSpace): void;
  use(space: SharedSpace): void;
  /** That no member of this host has the space open any more is being decided. */
  leaving(space: SharedSpace): boolean;
  /** When a member is to be told that it takes too long. */
  later(slot: number, ms: number): void;
}

/** Members that wait for a spread space, at most one request of each. */
export class Openings {
  readonly #region: string;
  readonly #directory: Directory;
  readonly #effects: OpeningEffects;
  readonly #waiting = new Map<number, Opening>();
  #count = 0;

  constructor(region: string, directory: Directory, effects: OpeningEffects) {
    this.#region = region;
    this.#directory = directory;
    this.#effects = effects;
  }

  get slots(): readonly number[] {
    return [...this.#waiting.keys()];
  }

  wants(name: string): boolean {
    return [...this.#waiting.values()].some((opening) => opening.name === name);
  }

  forget(slot: number): void {
    this.#waiting.delete(slot);
  }

  /** What to answer by now; null: nothing yet. The caller makes the slot a holder of what is opened. */
  ask(slot: Slot, seq: number, open: SpaceOpen): Opened | null {
    let opening = this.#waiting.get(slot.id);
    if (opening === undefined || opening.seq !== seq || opening.epoch !== slot.epoch) {
      const { node, incarnation } = this.#directory;
      const maker = `${node}.${incarnation}.${this.#count++}`;
      opening = { seq, epoch: slot.epoch, until: performance.now() + PATIENCE_MS, maker, name: open.name };
      this.#waiting.set(slot.id, opening);
      this.#effects.later(slot.id, PATIENCE_MS);
    }
    const opened = performance.now() >= opening.until ? refused(STATUS_NO_HOSTS) : this.#look(opening, open);
    if (opened !== null) this.#waiting.delete(slot.id);
    return opened;
  }

  #look(
    { maker }: Opening,
    { name, mode, bytes, pageShift, consistency, replicas, persistent, hosts = null }: SpaceOpen,
  ): Opened | null {
    const { decided, state, node } = this.#directory;
    if (state !== 'serving') return null;
    const space = findSpace(decided, this.#region, name);
    const self = this.#directory.nameOf(node) ?? '';
    const access = space === null ? hosts : space.access;
    if (space === null) {
      if (mode === OPEN_EXISTING || bytes === 0) return refused(STATUS_NO_SPACE);
      if (homesOf(decided.view) === 0) return null;
      if (access?.includes(self) === false) return refused(STATUS_FORBIDDEN);
      const shape = { bytes, pageShift, consistency, replicas, persistent };
      const made = { region: this.#region, name, ...shape, access, maker };
      this.#effects.create(made);
      return null;
    }
    const created = space.maker === maker;
    if (access?.includes(self) === false) return refused(STATUS_FORBIDDEN);
    if (space.failed !== null) return created ? refused(STATUS_NO_HOSTS) : null;
    if (mode === OPEN_NEW && !created) return refused(STATUS_SPACE_EXISTS);
    if (bytes > space.bytes) return refused(STATUS_SPACE_DIFFERS);
    const record = isReady(space) ? this.#effects.local(space) : null;
    if (record === null) return null;
    // It may be gone with that.
    if (this.#effects.leaving(space)) return null;
    if (space.users.includes(node)) return { status: STATUS_OK, space: record, created };
    this.#effects.use(space);
    return null;
  }
}

function refused(status: number): Opened {
  return { status, space: null, created: false };
}
