import { forEveryone } from '../errors/for-everyone.ts';
import { IvshmemError } from '../errors/index.ts';
import { readDirectory } from '../memory/directory.ts';
import { MEMBER_W } from '../memory/layout.ts';
import type { MembershipPlace } from '../memory/membership.ts';
import type { Attachment } from './attachment.ts';
import { type Description, encodeDescription } from './description.ts';
import { Membership, type MembershipHost, type MembershipOptions } from './membership.ts';
import { ViewSource } from './view-source.ts';

const LEAST_SUSPECT_MS = 10;
const MOST_SUSPECT_MS = 3_600_000;

/** What a member knows of the others, for all of its Membership objects: one place in the server's list of who is told. */
export class Views {
  readonly #attachment: Attachment;
  /** By the memory they are in. */
  readonly #sources = new Map<ArrayBuffer, ViewSource>();
  #suspectMs = 0;
  #description: Required<Description> = { addresses: [], labels: {} };

  constructor(attachment: Attachment) {
    this.#attachment = attachment;
  }

  /** See Region.membership. */
  async open({ suspectAfterMs, directory }: MembershipOptions): Promise<Membership> {
    const attachment = this.#attachment;
    attachment.check('read the membership');
    checkSuspectMs(suspectAfterMs);
    const place = this.#place('read the membership');
    // A full fence before the first look: the server looks at it after it published a view, so one of us sees the other.
    if (this.#sources.size === 0) this.#watch(1);
    try {
      const source = this.#source(directory?.memory ?? attachment.tables, place);
      const membership = new Membership(this.#host(source), suspectAfterMs);
      source.open.add(membership);
      try {
        await source.catchUp();
        await this.#askForSuspects();
        attachment.check('read the membership');
        return membership;
      } catch (error) {
        membership.close();
        throw error;
      }
    } finally {
      if (this.#sources.size === 0) this.#watch(0);
    }
  }

  /** The server may have published views. */
  serve(): void {
    forEveryone(this.#sources.values(), (source) => source.serve());
  }

  /** Whether this region has membership at all. */
  get present(): boolean {
    return this.#attachment.place !== null;
  }

  /** HELLO tells the others this much already. */
  described(description: Required<Description>): void {
    this.#place('describe this member');
    this.#description = description;
  }

  /** Changes what this member says of itself. */
  async describe(description: Description): Promise<void> {
    this.#attachment.check('describe this member');
    this.#place('describe this member');
    const addresses = description.addresses ?? this.#description.addresses;
    const labels = description.labels ?? this.#description.labels;
    const bytes = encodeDescription({ addresses, labels });
    this.#description = { addresses, labels };
    await this.#attachment.control.describe(bytes);
  }

  close(): void {
    for (const source of [...this.#sources.values()])
      for (const membership of [...source.open]) membership.close();
  }

  #watch(watching: 0 | 1): void {
    const { state, words, base } = this.#attachment;
    if (state === 'open') Atomics.store(words, base + MEMBER_W.watching, watching);
  }

  #place(operation: string): MembershipPlace {
    const { place, header, device } = this.#attachment;
    if (place !== null) return place;
    const params = { operation, on: device.on, version: `1.${header.minor}` };
    throw new IvshmemError('ERR_IVSHMEM_MEMBERSHIP_ABSENT', params);
  }

  #source(memory: ArrayBuffer, place: MembershipPlace): ViewSource {
    const known = this.#sources.get(memory);
    if (known !== undefined) return known;
    const { header, tables, words } = this.#attachment;
    const first = this.#sources.size === 0;
    const source =
      memory === tables
        ? new ViewSource(this.#attachment, words, place, first)
        : new ViewSource(
            this.#attachment,
            new Int32Array(memory),
            readDirectory(memory, header.slots, header.uuid),
            first,
          );
    this.#sources.set(memory, source);
    return source;
  }

  #host(source: ViewSource): MembershipHost {
    const { reader } = source;
    return {
      slot: this.#attachment.slot,
      get view() {
        return reader.view;
      },
      get records() {
        return reader.records;
      },
      waiting: (change) => this.#attachment.wait(change),
      describe: (description) => this.describe(description),
      closed: (membership) => this.#closed(source, membership),
    };
  }

  #closed(source: ViewSource, membership: Membership): void {
    source.open.delete(membership);
    if (source.open.size === 0)
      for (const [memory, each] of this.#sources) if (each === source) this.#sources.delete(memory);
    if (this.#sources.size === 0) this.#watch(0);
    if (this.#attachment.state === 'open') this.#attachment.background(this.#askForSuspects());
  }

  /** Tells the server the shortest span that somebody here asks for, when it changed. */
  async #askForSuspects(): Promise<void> {
    const asked = [...this.#sources.values()]
      .flatMap((source) => [...source.open])
      .map(({ suspectAfterMs }) => suspectAfterMs ?? Number.POSITIVE_INFINITY);
    const least = Math.min(...asked);
    const wanted = Number.isFinite(least) ? least : 0;
    if (wanted === this.#suspectMs) return;
    this.#suspectMs = wanted;
    try {
      await this.#attachment.control.suspect(wanted);
    } catch (error) {
      // Who knows what the server has; the next one asks again.
      this.#suspectMs = Number.NaN;
      throw error;
    }
  }
}

function checkSuspectMs(ms: number | undefined): void {
  if (ms === undefined || (Number.isInteger(ms) && ms >= LEAST_SUSPECT_MS && ms <= MOST_SUSPECT_MS)) return;
  const params = { found: String(ms), least: LEAST_SUSPECT_MS, most: MOST_SUSPECT_MS };
  throw new IvshmemError('ERR_IVSHMEM_MEMBERSHIP_OPTIONS', params);
}
