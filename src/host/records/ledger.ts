/** What a slot may be charged for. */
export interface Quota {
  /** Channels. */
  readonly channels: number;
  /** Pages of channels and spaces together. */
  readonly pages: number;
  /** Spaces it made; without it, any number. */
  readonly spaces?: number;
}

export interface Charge {
  channels: number;
  pages: number;
  spaces: number;
}

/** Who pays for what of a region, by slot. Slot 0, the server's, pays once more for all that is persistent. */
export class Ledger {
  readonly quota: Quota;
  readonly #charges: readonly Charge[];

  constructor(slots: number, quota: Quota) {
    this.quota = quota;
    this.#charges = Array.from({ length: slots }, () => ({ channels: 0, pages: 0, spaces: 0 }));
  }

  /** What a slot is charged for. */
  of(slot: number): Readonly<Charge> {
    return { ...this.#charges[slot]! };
  }

  /** Whether one more channel, or space, of so many pages is within the quota. */
  has(slot: number, what: 'channels' | 'spaces', pages: number): boolean {
    const charge = this.#charges[slot]!;
    const most = this.quota[what] ?? Number.POSITIVE_INFINITY;
    return charge[what] < most && charge.pages + pages <= this.quota.pages;
  }

  /** Whatever the quota says: it bounds what is made, not what changes hands. */
  charge(slot: number, what: 'channels' | 'spaces', pages: number, sign: 1 | -1): void {
    const charge = this.#charges[slot]!;
    charge[what] += sign;
    charge.pages += sign * pages;
  }
}
