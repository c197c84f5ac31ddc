import { attachmentOf } from '../channel/attachments.ts';
import type { Region } from '../channel/index.ts';
import { IvshmemError, isIvshmemError } from '../errors/index.ts';
import { type Attachment, forEveryone, type MappedPart, type Membership } from '../membership/index.ts';
import { type Consistency, OPEN_ANY, PAGE_BYTES } from '../memory/layout.ts';
import { readSpace, type SpaceEntry } from '../memory/space-table.ts';
import { AttachedParty } from './attached-party.ts';
import { Space } from './space.ts';
import { LOCKS_BYTES, LOCKS_PAGE_SHIFT, Locks } from './spread/locks.ts';
import { locksName } from './spread/locks-name.ts';
import { SpreadMapping } from './spread/mapping.ts';
import { type SpreadParts, SpreadSpace } from './spread/space.ts';

/** What is asked of the server for a space. */
export interface Wanted {
  /** OPEN_* */
  readonly mode: number;
  readonly persistent: boolean;
  /** 0: whatever it has. */
  readonly bytes: number;
  /** log2 of the page size of a spread space; 0: it is not to be one. */
  readonly pageShift: number;
  /** Whether one with pages of another size will do. */
  readonly anyPage: boolean;
  readonly consistency: Consistency;
  /** Hosts that are to have each page. */
  readonly replicas: number;
  /** Of a spread space: with what synchronizes its members. */
  readonly locks: boolean;
}

type Shape = Pick<Wanted, 'pageShift' | 'consistency' | 'replicas'>;
type AnySpace = Space | SpreadSpace;

/** What keeps a space that is there, with pages of that size (0: not spread), from being the one wanted; null: nothing. */
export function difference(wanted: Wanted, found: Shape): string | null {
  const { pageShift, anyPage, consistency, replicas } = wanted;
  if (pageShift > 0 && found.pageShift === 0) return 'it is not spread over hosts';
  if (pageShift === 0 && found.pageShift > 0) return 'it is spread over hosts';
  if (!anyPage && pageShift !== found.pageShift) return `its pages have ${2 ** found.pageShift} bytes`;
  if (consistency !== found.consistency) return `its consistency is '${found.consistency}'`;
  if (replicas !== found.replicas) return `its replicas are ${found.replicas}`;
  return null;
}

/** The spaces that one member has open, by name. */
export class OpenSpaces {
  readonly #region: Region;
  readonly #attachment: Attachment;
  readonly #party: AttachedParty;
  readonly #spaces = new Map<string, AnySpace>();
  #membership: Promise<Membership> | null = null;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(region: Region) {
    const attachment = attachmentOf(region);
    this.#region = region;
    this.#attachment = attachment;
    this.#party = new AttachedParty(attachment);
    attachment.onShut(() => this.#shut());
  }

  /** One after the other, so that nobody opens what somebody else here is about to have. */
  open(name: string, wanted: Wanted, admits: (space: AnySpace) => void): Promise<AnySpace> {
    const turn = this.#turn.then(async () => {
      const known = this.#spaces.get(name);
      if (known !== undefined) admits(known);
      // Before anything is waited for: whoever has it open here may close it meanwhile.
      known?.hold();
      const space = known ?? (await this.#open(name, wanted));
      if (wanted.locks && space.spread && !space.locked) {
        try {
          space.lockWith(await this.#openLocks(space, wanted.persistent));
        } catch (error) {
          this.#attachment.background(space.close());
          throw error;
        }
      }
      return space;
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** The space with the objects of a spread one, in the hands of nobody else. */
  async #openLocks({ name: of, exchange }: SpreadSpace, persistent: boolean): Promise<Locks> {
    const name = locksName(of);
    if (this.#spaces.has(name)) throw new IvshmemError('ERR_IVSHMEM_SPACE_EXISTS', this.#about(name));
    // Atomics are atomic among hosts in a sequential space only, whatever the space is that they are for.
    const shape = { bytes: LOCKS_BYTES, pageShift: LOCKS_PAGE_SHIFT, anyPage: false } as const;
    const one = { consistency: 'sequential', replicas: 1, locks: false } as const;
    const wanted = { mode: OPEN_ANY, persistent, ...shape, ...one };
    const space = await this.#open(name, wanted, true);
    if (!space.spread) throw new IvshmemError('ERR_IVSHMEM_SPREAD_SYNC', { kind: 'space', name: of });
    try {
      return await Locks.open(this.#about(name).operation, {
        name: of,
        mapping: space.mapping,
        exchange,
        release: () => space.close(),
        shut: () => space.shut(),
        waiting: (change) => this.#attachment.wait(change),
      });
    } catch (error) {
      this.#attachment.background(space.close());
      throw error;
    }
  }

  #about(name: string): { operation: string; on: string } {
    return { operation: `open the space ${name}`, on: this.#attachment.device.on };
  }

  async #open(name: string, wanted: Wanted, whole = false): Promise<AnySpace> {
    const attachment = this.#attachment;
    const operation = `open the space ${name}`;
    attachment.check(operation);
    await this.#watch();
    const reply = await attachment.control.openSpace(name, wanted);
    let held = true;
    const release = async (): Promise<void> => {
      if (held) await this.#release(reply.space, reply.generation);
      held = false;
    };
    try {
      attachment.check(operation);
      const entry = readSpace(attachment.words, attachment.header, reply.space);
      if (entry === null || !isReply(entry, name, reply) || entry.bytes < wanted.bytes)
        throw new IvshmemError('ERR_IVSHMEM_SPACE_TABLE', { operation, on: attachment.device.on });
      const parts = {
        name,
        created: reply.created,
        persistent: entry.persistent,
        release: () => {
          if (this.#spaces.get(name) === space) this.#spaces.delete(name);
          return release();
        },
      };
      const space: AnySpace = await this.#make(entry, operation, { ...wanted, whole }, parts);
      this.#spaces.set(name, space);
      // Others may have the memory, and whoever opens the name here wants the next one.
      if (space.spread) space.mapping.onRemoved(() => attachment.background(parts.release()));
      return space;
    } catch (error) {
      attachment.background(release());
      throw error;
    }
  }

  async #make(
    entry: SpaceEntry,
    operation: string,
    wanted: Wanted & { readonly whole: boolean },
    parts: Omit<SpreadParts, 'mapping' | 'consistency' | 'replicas'>,
  ): Promise<AnySpace> {
    const attachment = this.#attachment;
    if (!entry.spread) {
      this.#compare(operation, wanted, { pageShift: 0, consistency: 'sequential', replicas: 1 });
      const { system, user } = this.#map(entry, operation);
      const waiting = (change: 1 | -1): void => attachment.wait(change);
      const at = entry.firstPage * PAGE_BYTES;
      return new Space({ ...parts, system, user, party: this.#party, attachment, at, waiting });
    }
    const [at, bytes] = [entry.firstPage * PAGE_BYTES, entry.pages * PAGE_BYTES];
    const { consistency, replicas } = entry;
    const { whole } = wanted;
    const mapping = await SpreadMapping.open(attachment, operation, { at, bytes, size: entry.bytes, whole });
    try {
      // The region may have been left meanwhile.
      attachment.check(operation);
      const pageShift = Math.log2(mapping.pageBytes);
      this.#compare(operation, wanted, { pageShift, consistency, replicas });
      return new SpreadSpace({ ...parts, mapping, consistency, replicas });
    } catch (error) {
      mapping.close();
      throw error;
    }
  }

  #compare(operation: string, wanted: Wanted, is: Shape): void {
    const found = difference(wanted, is);
    const { on } = this.#attachment.device;
    if (found !== null) throw new IvshmemError('ERR_IVSHMEM_SPREAD_DIFFERS', { operation, on, found });
  }

  #map(entry: SpaceEntry, operation: string): { system: MappedPart; user: MappedPart } {
    const { device } = this.#attachment;
    const at = entry.firstPage * PAGE_BYTES;
    const systemBytes = entry.systemPages * PAGE_BYTES;
    let system: MappedPart | null = null;
    try {
      if (device.mapPart === undefined) throw new Error('this device cannot map a part of its memory');
      system = device.mapPart(at, systemBytes);
      return { system, user: device.mapPart(at + systemBytes, entry.bytes) };
    } catch (cause) {
      system?.close();
      if (isIvshmemError(cause, 'ERR_IVSHMEM_DEVICE_REMOVED') || isIvshmemError(cause, 'ERR_IVSHMEM_CLOSED'))
        throw cause;
      const why = (cause as Error).message;
      throw new IvshmemError('ERR_IVSHMEM_SPACE_MAP', { operation, on: device.on, why }, { cause });
    }
  }

  /** Has the server mark our control bit with every view: whoever waits for one who died looks again. */
  async #watch(): Promise<void> {
    this.#membership ??= this.#region.membership();
    try {
      (await this.#membership).unref();
    } catch (error) {
      this.#membership = null;
      throw error;
    }
  }

  async #release(space: number, generation: number): Promise<void> {
    if (this.#attachment.state !== 'open') return;
    try {
      await this.#attachment.control.closeSpace(space, generation);
    } catch (error) {
      // The server let go of it before: this member was put out, or has left meanwhile.
      const gone = ['ERR_IVSHMEM_SPACE_MISSING', 'ERR_IVSHMEM_REFUSED', 'ERR_IVSHMEM_CLOSED'] as const;
      if (!gone.some((code) => isIvshmemError(error, code))) throw error;
    }
  }

  #shut(): void {
    this.#party.close();
    const spaces = [...this.#spaces.values()];
    this.#spaces.clear();
    forEveryone(spaces, (space) => space.shut());
  }
}

function isReply(
  entry: SpaceEntry,
  name: string,
  reply: { generation: number; firstPage: number; pages: number },
): boolean {
  return (
    entry.name === name &&
    entry.generation === reply.generation &&
    entry.firstPage === reply.firstPage &&
    entry.pages === reply.pages
  );
}
