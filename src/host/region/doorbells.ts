import { CONTROL_BIT } from '../../memory/layout.ts';
import { post } from '../../memory/pending.ts';
import { binding } from '../../native/binding.ts';
import type { MemberBlocks } from './member-blocks.ts';

/** How the server tells members that there is something for them. */
export class Doorbells {
  readonly #words: Int32Array;
  readonly #members: MemberBlocks;
  readonly #eventfds: readonly (readonly number[])[];

  constructor(words: Int32Array, members: MemberBlocks, eventfds: readonly (readonly number[])[]) {
    this.#words = words;
    this.#members = members;
    this.#eventfds = eventfds;
  }

  /** Marks the control bit of a slot and rings if its holder sleeps. */
  notify(slot: number): void {
    if (post(this.#words, this.#members.block(slot), CONTROL_BIT)) this.#signal(slot);
  }

  /** The same, but rings whatever `armed` says: who took the word may have died before it rang. */
  ring(slot: number): void {
    post(this.#words, this.#members.block(slot), CONTROL_BIT);
    this.#signal(slot);
  }

  #signal(slot: number): void {
    binding.eventfdSignal(this.#eventfds[slot]![0]!);
  }
}
