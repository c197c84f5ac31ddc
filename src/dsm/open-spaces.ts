import { attachmentOf } from '../channel/attachments.ts';
import type { Region } from '../channel/index.ts';
import { IvshmemError, isIvshmemError } from '../errors/index.ts';
import { type Attachment, forEveryone, type MappedPart, type Membership } from '../membership/index.ts';
import { PAGE_BYTES } from '../memory/layout.ts';
import { readSpace, type SpaceEntry } from '../memory/space-table.ts';
import { AttachedParty } from './attached-party.ts';
import { Space } from './space.ts';

/** What is asked of the server for a space. */
export interface Wanted {
  /** OPEN_* */
  readonly mode: number;
  readonly persistent: boolean;
  /** 0: whatever it has. */
  readonly bytes: number;
}

/** The spaces that one member has open, by name. */
export class OpenSpaces {
  readonly #region: Region;
  readonly #attachment: Attachment;
  readonly #party: AttachedParty;
  readonly #spaces = new Map<string, Space>();
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
  open(name: string, wanted: Wanted, admits: (space: Space) => void): Promise<Space> {
    const turn = this.#turn.then(async () => {
      const known = this.#spaces.get(name);
      if (known === undefined) return this.#open(name, wanted);
      admits(known);
      known.hold();
      return known;
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #open(name: string, wanted: Wanted): Promise<Space> {
    const attachment = this.#attachment;
    const operation = `open the space ${name}`;
    attachment.check(operation);
    await this.#watch();
    const reply = await attachment.control.openSpace(name, wanted);
    const release = (): Promise<void> => this.#release(reply.space, reply.generation);
    try {
      attachment.check(operation);
      const entry = readSpace(attachment.words, attachment.header, reply.space);
      if (entry === null || !isReply(entry, name, reply) || entry.bytes < wanted.bytes)
        throw new IvshmemError('ERR_IVSHMEM_SPACE_TABLE', { operation, on: attachment.device.on });
      const { system, user } = this.#map(entry, operation);
      const space = new Space({
        name,
        created: reply.created,
        persistent: entry.persistent,
        system,
        user,
        party: this.#party,
        waiting: (change) => attachment.wait(change),
        release: () => {
          this.#spaces.delete(name);
          return release();
        },
      });
      this.#spaces.set(name, space);
      return space;
    } catch (error) {
      attachment.background(release());
      throw error;
    }
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
