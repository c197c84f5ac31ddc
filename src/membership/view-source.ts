import { setTimeout as delay } from 'node:timers/promises';
import { forEveryone } from '../errors/for-everyone.ts';
import { IvshmemError, isIvshmemError } from '../errors/index.ts';
import { CONTROL_BIT } from '../memory/layout.ts';
import type { MembershipPlace } from '../memory/membership.ts';
import type { Attachment } from './attachment.ts';
import type { Change } from './changes.ts';
import { publish } from './diagnostics.ts';
import type { Membership } from './membership.ts';
import { ViewReader } from './view-reader.ts';

/** The server writes its tables again at most once a second. */
const REFRESH_EVERY_MS = 1100;
const REFRESHES = 3;

/** One membership part that is followed, for all Membership objects that show it: that of the region, or a directory's. */
export class ViewSource {
  readonly open = new Set<Membership>();
  readonly reader: ViewReader;
  readonly #attachment: Attachment;
  /** Whether node:diagnostics_channel hears of it: of one source only. */
  readonly #published: boolean;
  #healing: Promise<void> | null = null;

  constructor(attachment: Attachment, words: Int32Array, place: MembershipPlace, published: boolean) {
    this.#attachment = attachment;
    this.#published = published;
    this.reader = new ViewReader(words, place);
  }

  /** Reads what is there, with the server's help if need be. ERR_IVSHMEM_MEMBERSHIP_DAMAGED when that does not help. */
  async catchUp(): Promise<void> {
    const damage = this.#healing === null ? this.#read() : 'being healed';
    if (damage === null) return;
    this.#attachment.wait(1);
    await this.#heal(damage).finally(() => this.#attachment.wait(-1));
  }

  /** The server may have published views. */
  serve(): void {
    if (this.open.size === 0 || this.#healing !== null) return;
    const damage = this.#read();
    if (damage !== null) this.#heal(damage).catch((error: unknown) => this.#fail(error as Error));
  }

  /** What is wrong, or null. */
  #read(): string | null {
    const changes: Change[] = [];
    const result = this.reader.read(changes);
    if (result === 'more') this.#attachment.postSelf(CONTROL_BIT);
    this.#deliver(changes);
    return typeof result === 'object' ? result.damaged : null;
  }

  #deliver(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    if (this.#published)
      for (const { event } of changes) publish(`member.${event.type}`, () => this.#message(event));
    forEveryone(this.open, (membership) => membership.deliver(changes));
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
      if (this.open.size === 0 || this.#attachment.state !== 'open') return;
      try {
        await this.#attachment.control.refresh();
      } catch (error) {
        cause = error;
        if (!isIvshmemError(error, 'ERR_IVSHMEM_REFUSED')) break;
        continue;
      }
      if (this.open.size === 0 || this.#attachment.state !== 'open') return;
      const changes: Change[] = [];
      const result = this.reader.adopt(changes, true);
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
    // The exception of a listener comes out of the loop as any other.
    if (!isIvshmemError(error)) throw error;
    for (const membership of [...this.open]) membership.fail(error);
  }
}
