import { setTimeout as delay } from 'node:timers/promises';
import { IvshmemError, isIvshmemError } from '../errors/index.ts';
import { CONTROL_BIT, MEMBER_W } from '../memory/layout.ts';
import type { Attachment } from './attachment.ts';
import type { Change } from './changes.ts';
import { type Description, encodeDescription } from './description.ts';
import { publish } from './diagnostics.ts';
import { Membership, type MembershipHost, type MembershipOptions } from './membership.ts';
import { ViewReader } from './view-reader.ts';

const LEAST_SUSPECT_MS = 10;
const MOST_SUSPECT_MS = 3_600_000;
/** The server writes its tables again at most once a second. */
const REFRESH_EVERY_MS = 1100;
const REFRESHES = 3;

/** What a member knows of the others, for all of its Membership objects: one reader, one place in the server's list of who is told. */
export class Views {
  readonly #attachment: Attachment;
  readonly #open = new Set<Membership>();
  #reader: ViewReader | null = null;
  #healing: Promise<void> | null = null;
  #suspectMs = 0;
  #description: Required<Description> = { addresses: [], labels: {} };

  constructor(attachment: Attachment) {
    this.#attachment = attachment;
  }

  /** See Region.membership. */
  async open({ suspectAfterMs }: MembershipOptions): Promise<Membership> {
    const attachment = this.#attachment;
    attachment.check('read the membership');
    checkSuspectMs(suspectAfterMs);
    if (this.#reader === null) {
      this.#reader = new ViewReader(attachment.words, this.#place('read the membership'));
      // A full fence before the first look: the server looks at it after it published a view, so one of us sees the other.
      Atomics.store(attachment.words, attachment.base + MEMBER_W.watching, 1);
    }
    const membership = new Membership(this.#host(this.#reader), suspectAfterMs);
    this.#open.add(membership);
    try {
      const damage = this.#read();
      if (damage !== null) await this.#waitFor(this.#heal(damage));
      await this.#askForSuspects();
      attachment.check('read the membership');
      return membership;
    } catch (error) {
      membership.close();
      throw error;
    }
  }

  /** The server may have published views. */
  serve(): void {
    if (this.#open.size === 0 || this.#healing !== null) return;
    const damage = this.#read();
    if (damage !== null) this.#heal(damage).catch((error: unknown) => this.#fail(error as Error));
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
    for (const membership of [...this.#open]) membership.close();
  }

  #place(operation: string) {
    const { place, header, device } = this.#attachment;
    if (place !== null) return place;
    const params = { operation, on: device.on, version: `1.${header.minor}` };
    throw new IvshmemError('ERR_IVSHMEM_MEMBERSHIP_ABSENT', params);
  }

  #host(reader: ViewReader): MembershipHost {
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
      closed: (membership) => this.#closed(membership),
    };
  }

  #closed(membership: Membership): void {
    if (!this.#open.delete(membership) || this.#attachment.state !== 'open') return;
    if (this.#open.size === 0) {
      this.#reader = null;
      Atomics.store(this.#attachment.words, this.#attachment.base + MEMBER_W.watching, 0);
    }
    this.#attachment.background(this.#askForSuspects());
  }

  /** What is wrong, or null. */
  #read(): string | null {
    const changes: Change[] = [];
    const result = this.#reader!.read(changes);
    if (result === 'more') this.#attachment.postSelf(CONTROL_BIT);
    this.#deliver(changes);
    return typeof result === 'object' ? result.damaged : null;
  }

  #deliver(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    for (const { event } of changes) publish(`member.${event.type}`, () => this.#message(event));
    const faults: unknown[] = [];
    for (const membership of [...this.#open]) {
      try {
        membership.deliver(changes);
      } catch (error) {
        faults.push(error);
      }
    }
    if (faults.length > 0) throw faults[0];
  }

  #message(event: Change['event']): object {
    return { region: this.#attachment.header.name, on: this.#attachment.device.on, ...event };
  }

  /** Has the server write its tables again; one such request at a time, for whoever found the damage. */
  #heal(damage: string): Promise<void> {
    this.#healing ??= this.#refresh(damage).finally(() => {
      this.#healing = null;
    });
    return this.#healing;
  }

  async #refresh(damage: string): Promise<void> {
    let why = damage;
    let cause: unknown;
    for (let n = 0; n < REFRESHES; n++) {
      if (n > 0) await delay(REFRESH_EVERY_MS, undefined, { ref: false });
      if (this.#reader === null || this.#attachment.state !== 'open') return;
      try {
        await this.#attachment.control.refresh();
      } catch (error) {
        cause = error;
        if (!isIvshmemError(error, 'ERR_IVSHMEM_REFUSED')) break;
        continue;
      }
      if (this.#reader === null) return;
      const changes: Change[] = [];
      const result = this.#reader.adopt(changes, true);
      this.#deliver(changes);
      if (typeof result !== 'object') return;
      why = result.damaged;
    }
    const params = { on: this.#attachment.device.on, why };
    throw new IvshmemError('ERR_IVSHMEM_MEMBERSHIP_DAMAGED', params, cause === undefined ? {} : { cause });
  }

  #fail(error: Error): void {
    // A region that is going tells so in other ways.
    if (this.#attachment.state !== 'open') return;
    for (const membership of [...this.#open]) membership.fail(error);
  }

  async #waitFor(promise: Promise<void>): Promise<void> {
    this.#attachment.wait(1);
    await promise.finally(() => this.#attachment.wait(-1));
  }

  /** Tells the server the shortest span that somebody here asks for, when it changed. */
  async #askForSuspects(): Promise<void> {
    const asked = [...this.#open].map(({ suspectAfterMs }) => suspectAfterMs ?? Number.POSITIVE_INFINITY);
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
