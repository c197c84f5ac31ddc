import { STATUS_FORBIDDEN, STATUS_NO_HOSTS, STATUS_NO_SPACE, STATUS_OK } from '../../memory/layout.ts';
import type { Slot } from '../region/slots.ts';
import type { Removed } from '../region/spread-desk.ts';
import { findSpace, release, revoke } from './decisions.ts';
import type { Change, Directory } from './directory.ts';

/** Members take a server for silent after 10 s. */
const PATIENCE_MS = 8000;

interface Asked {
  readonly seq: number;
  readonly epoch: number;
  removed: Removed | null;
}

export interface RemovalParts {
  readonly region: string;
  readonly directory: Directory;
  /** The space that goes with another one, by their names. */
  readonly companion: (name: string) => string;
  /** Has the member ask again. */
  readonly visit: (slot: number) => void;
}

/** Removes spread spaces, each together with what synchronizes its members: all hosts decide on both at once. */
export class Removals {
  readonly #parts: RemovalParts;
  readonly #asked = new Map<number, Asked>();

  constructor(parts: RemovalParts) {
    this.#parts = parts;
  }

  /** For a member, at most one request of each; null: nothing yet, it will be visited. */
  ask(slot: Slot, seq: number, name: string, force: boolean): Removed | null {
    const known = this.#asked.get(slot.id);
    if (known !== undefined && known.seq === seq && known.epoch === slot.epoch) {
      if (known.removed !== null) this.#asked.delete(slot.id);
      return known.removed;
    }
    const asked: Asked = { seq, epoch: slot.epoch, removed: null };
    this.#asked.set(slot.id, asked);
    void this.remove(name, force).then((removed) => {
      asked.removed = removed;
      this.#parts.visit(slot.id);
    });
    return null;
  }

  forget(slot: number): void {
    this.#asked.delete(slot);
  }

  /** `force`: from those who have it open, too. Otherwise it goes with the last of them. */
  async remove(name: string, force: boolean): Promise<Removed> {
    const { region, directory, companion } = this.#parts;
    const refused = (status: number): Removed => ({ status, hosts: [] });
    if (directory.state !== 'serving') return refused(STATUS_NO_HOSTS);
    const until = performance.now() + PATIENCE_MS;
    const left = (): number => until - performance.now();
    // What is decided, not only what this host has heard of: a try that is made again finds what the first one did.
    const before = await this.#change((decided) => decided, left());
    const found = before === null ? null : findSpace(before, region, name);
    if (before === null || found === null)
      return refused(before === null ? STATUS_NO_HOSTS : STATUS_NO_SPACE);
    const self = directory.nameOf(directory.node) ?? '';
    if (found.access?.includes(self) === false) return refused(STATUS_FORBIDDEN);
    const locks = findSpace(before, region, companion(name));
    const ids = [found, locks].flatMap((space) => (space === null ? [] : [space.id]));
    const one = force ? revoke : release;
    const after = await this.#change((decided) => ids.reduce((now, id) => one(id)(now), decided), left());
    if (after === null) return refused(STATUS_NO_HOSTS);
    const held = force ? found : after.spaces.find(({ id }) => id === found.id);
    const hosts = (held?.users ?? []).map((node) => directory.nameOf(node) ?? String(node));
    return { status: STATUS_OK, hosts: hosts.sort() };
  }

  #change(change: Change, ms: number) {
    return this.#parts.directory.change(change, Math.max(0, ms)).catch(() => null);
  }
}
