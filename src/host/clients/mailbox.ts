import { SERVER_SLOT } from '../../memory/layout.ts';
import { arm, collect } from '../../memory/pending.ts';
import { binding, type FdWatch } from '../../native/binding.ts';

/** Rounds of service before the event loop gets its turn. */
const ROUNDS = 8;

/**
 * The server's own member block: which slots have a request. Sleeps on the server's doorbell, without a timer: a member whose
 * request stays unanswered rings again, and after a death everybody is looked at.
 */
export class Mailbox {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #slots: number;
  readonly #eventfd: number;
  readonly #watch: FdWatch;
  readonly #onRequest: (slot: number) => void;
  readonly #visit: (slot: number) => void;
  #again: NodeJS.Immediate | null = null;
  #lookAtAll = false;
  #open = true;
  #closed = false;

  /** `base`: word index of the server's block in `words`. `onRequest` must not throw. */
  constructor(
    words: Int32Array,
    base: number,
    slots: number,
    eventfd: number,
    onRequest: (slot: number) => void,
  ) {
    this.#words = words;
    this.#base = base;
    this.#slots = slots;
    this.#eventfd = eventfd;
    this.#onRequest = onRequest;
    // A member may set any bit, so the range is checked here. Bits set meanwhile are for the next round: one request
    // of each slot per round, whatever a member does.
    this.#visit = (slot) => {
      if (slot > SERVER_SLOT && slot < slots) this.#onRequest(slot);
    };
    this.#watch = new binding.FdWatch(eventfd, () => this.#ring());
    this.resume();
  }

  /**
   * Visits every slot, marked or not, once the event loop comes round: whoever died may have taken `armed` or a mark on its way
   * to the doorbell, and with it the request of somebody else.
   */
  lookAtAll(): void {
    this.#lookAtAll = true;
    this.#later();
  }

  /** Leaves requests where they are, for another server to answer. */
  pause(): void {
    this.#open = false;
    if (this.#again !== null) clearImmediate(this.#again);
    this.#again = null;
    if (!this.#closed) this.#watch.stop();
  }

  /** Goes on after a pause. */
  resume(): void {
    if (this.#closed) return;
    this.#open = true;
    this.#watch.start(true, false);
    this.lookAtAll();
  }

  /** Must be called before the memory is unmapped. */
  close(): void {
    if (this.#closed) return;
    this.pause();
    this.#closed = true;
    this.#watch.close();
  }

  #ring(): void {
    binding.eventfdDrain(this.#eventfd);
    // A counter driven to its end is an error to poll, on which libuv stops watching. It is drained now.
    this.#watch.start(true, false);
    this.#serve();
  }

  #later(): void {
    if (!this.#open || this.#again !== null) return;
    this.#again = setImmediate(() => {
      this.#again = null;
      this.#serve();
    });
  }

  #serve(): void {
    if (!this.#open || this.#again !== null) return;
    if (this.#lookAtAll) {
      this.#lookAtAll = false;
      for (let slot = 0; slot < this.#slots; slot++) this.#visit(slot);
    }
    for (let round = 0; round < ROUNDS; round++) {
      collect(this.#words, this.#base, this.#visit);
      if (arm(this.#words, this.#base)) return;
    }
    this.#later();
  }
}
