import { IvshmemError } from '../../errors/index.ts';
import type { Party } from '../party.ts';
import { SEATS, SEATS_W } from '../sync/layout.ts';

/** What members of all hosts say to each other (native/dsm/shared_layout.h). A party is one opening of a space, a number below 2^46. */
export interface Calls {
  /** Of this opening. */
  readonly party: number;
  /** Has that party look again, or asks whether it is still there. May be lost. */
  call(party: number, ask: boolean): void;
  /** Calls back with a party that is gone, or 0: look again. Returns how to stop. */
  onCalled(callback: (gone: number) => void): () => void;
}

/** The same is not asked again before. Less than the 500 ms after which all who wait look again. */
const ASK_AGAIN_MS = 200;
const MOST_ASKED = 4096;

/**
 * Who takes part in a spread space, on whichever host: each has one of 255 seats, which stand in for the slots that members of one host
 * have. A seat is a word of 64 bits in the space with the party that sits there, taken by one compare-and-swap.
 *
 * Whether a party lives only its own node knows: it is asked when somebody depends on it, as often as they look, and counts as alive until
 * it is said to be gone. Whoever hears that takes it from its seat, so that all know it, for ever.
 */
export class Seats implements Party {
  readonly slot: number;
  readonly epoch: number;
  readonly #parties: BigInt64Array;
  readonly #calls: Calls;
  readonly #callbacks = new Set<() => void>();
  readonly #asked = new Map<number, number>();
  readonly #stop: () => void;

  /**
   * Takes a seat. Errors: ERR_IVSHMEM_SPREAD_SEATS when all are taken by parties that nobody has found gone yet; they are asked, so
   * that it may be another time.
   */
  constructor(system: ArrayBuffer, calls: Calls) {
    this.#parties = new BigInt64Array(system, SEATS_W * 4, SEATS);
    this.#calls = calls;
    this.#stop = calls.onCalled((gone) => this.#called(gone));
    // What sits here may have died: the seats of the dead are not to become all there are.
    for (let seat = 1; seat < SEATS; seat++) {
      const party = this.#partyAt(seat);
      if (party !== 0) this.#ask(party);
    }
    this.slot = this.#sit();
    this.epoch = calls.party % 2 ** 32;
    if (this.slot > 0) return;
    this.#stop();
    throw new IvshmemError('ERR_IVSHMEM_SPREAD_SEATS', { most: SEATS - 1 });
  }

  alive(seat: number, epoch: number): boolean {
    const party = this.#partyAt(seat);
    if (party === 0 || party % 2 ** 32 !== epoch) return false;
    if (party !== this.#calls.party) this.#ask(party);
    return true;
  }

  notify(seat: number): void {
    const party = this.#partyAt(seat);
    if (party !== 0) this.#calls.call(party, false);
  }

  /** All who sit somewhere look again. */
  callAll(): void {
    for (let seat = 1; seat < SEATS; seat++) if (seat !== this.slot) this.notify(seat);
  }

  onWake(callback: () => void): () => void {
    this.#callbacks.add(callback);
    return () => void this.#callbacks.delete(callback);
  }

  /** Gives the seat up, while the memory is there; with `unseen` that is left to who asks for this party and finds it gone. */
  close({ unseen = false }: { readonly unseen?: boolean } = {}): void {
    this.#stop();
    this.#callbacks.clear();
    if (!unseen && this.#parties.length > 0) this.#leave(this.slot, this.#calls.party);
  }

  #sit(): number {
    for (let seat = 1; seat < SEATS; seat++)
      if (Atomics.compareExchange(this.#parties, seat, 0n, BigInt(this.#calls.party)) === 0n) return seat;
    return 0;
  }

  #leave(seat: number, party: number): void {
    Atomics.compareExchange(this.#parties, seat, BigInt(party), 0n);
  }

  #partyAt(seat: number): number {
    if (!(seat > 0 && seat < SEATS)) return 0;
    return Number(BigInt.asUintN(46, Atomics.load(this.#parties, seat)));
  }

  #ask(party: number): void {
    const now = performance.now();
    const before = this.#asked.get(party);
    if (before !== undefined && now - before < ASK_AGAIN_MS) return;
    if (this.#asked.size >= MOST_ASKED) this.#asked.clear();
    this.#asked.set(party, now);
    this.#calls.call(party, true);
  }

  #called(gone: number): void {
    if (gone === this.#calls.party || this.#parties.length === 0) return;
    if (gone !== 0) {
      this.#asked.delete(gone);
      for (let seat = 1; seat < SEATS; seat++) if (this.#partyAt(seat) === gone) this.#leave(seat, gone);
    }
    for (const callback of [...this.#callbacks]) callback();
  }
}
