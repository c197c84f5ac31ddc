import { type Attachment, forEveryone } from '../membership/index.ts';
import { CONTROL_BIT, PAGE_BYTES, SERVER_SLOT, SLOT_ATTACHED, SLOT_BYTES, SLOT_W } from '../memory/layout.ts';
import type { Party } from './party.ts';

const EPOCH_MASK = 0xffffff;

/**
 * A life of a driver in its slot, in 24 bits and not 0. Not the slot's epoch, which counts clients: a program that was killed in a VM and
 * its successor have the same. The generation is random, so that two lives of a slot are told apart but once in 2^24.
 */
function lifeOf(generation: number): number {
  return generation & EPOCH_MASK || 1;
}

interface Tables {
  readonly slots: number;
  readonly slotTablePage: number;
}

/** As the slot table says now: the server writes it before anybody hears of a leave, and before a member hears that it joined. */
export function aliveIn(words: Int32Array, tables: Tables, slot: number, epoch: number): boolean {
  if (!(slot > SERVER_SLOT && slot < tables.slots) || words.length === 0) return false;
  const at = (tables.slotTablePage * PAGE_BYTES + slot * SLOT_BYTES) / 4;
  // Acquire: pairs with the server's release of state, after the generation.
  if (Atomics.load(words, at + SLOT_W.state) !== SLOT_ATTACHED) return false;
  const generation = Atomics.load(words, at + SLOT_W.generation);
  return generation !== 0 && lifeOf(generation) === epoch;
}

/** The members of a region as those who take part in its spaces. One for all spaces that a member has open. */
export class AttachedParty implements Party {
  readonly slot: number;
  readonly epoch: number;
  readonly #attachment: Attachment;
  readonly #callbacks = new Set<() => void>();
  readonly #stop: () => void;
  #own: NodeJS.Immediate | null = null;

  constructor(attachment: Attachment) {
    this.#attachment = attachment;
    this.slot = attachment.slot;
    this.epoch = lifeOf(attachment.generation);
    // The server marks it as well with every view, because a Membership is open.
    this.#stop = attachment.onControl(() => this.#wake());
  }

  alive(slot: number, epoch: number): boolean {
    const { header, words, state } = this.#attachment;
    return state !== 'closed' && aliveIn(words, header, slot, epoch);
  }

  /** Precondition, of pending.ts: what the member shall see was stored sequentially consistent before. */
  notify(slot: number, urgent = false): void {
    if (slot === this.slot) {
      this.#own ??= setImmediate(() => {
        this.#own = null;
        this.#wake();
      });
    } else if (slot > SERVER_SLOT) {
      if (urgent) this.#attachment.alert(slot);
      else this.#attachment.notify(slot, CONTROL_BIT);
    }
  }

  onWake(callback: () => void): () => void {
    this.#callbacks.add(callback);
    return () => void this.#callbacks.delete(callback);
  }

  close(): void {
    this.#stop();
    this.#callbacks.clear();
    if (this.#own !== null) clearImmediate(this.#own);
  }

  #wake(): void {
    forEveryone(this.#callbacks, (callback) => callback());
  }
}
