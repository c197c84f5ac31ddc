import { SERVER_SLOT } from '../memory/layout.ts';
import { arm, collect } from '../memory/pending.ts';
import { binding, type FdWatch } from '../native/binding.ts';

/** Rounds of service before the event loop gets its turn. */
const ROUNDS = 8;
/**
 * How often to look without having been rung: a member may leave the server's `armed` word at 0, on purpose or by dying
 * between its exchange and the doorbell, and QEMU ignores doorbells until its own set-up is complete.
 */
const LOOK_AGAIN_MS = 1000;

/** The server's own member block: which slots have a request. Sleeps on the server's doorbell. */
export class Mailbox {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #eventfd: number;
  readonly #watch: FdWatch;
  readonly #lookAgain: NodeJS.Timeout;
  readonly #onRequest: (slot: number) => void;
  readonly #visit: (slot: number) => void;
  #again: NodeJS.Immediate | null = null;
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
    this.#eventfd = eventfd;
    this.#onRequest = onRequest;
    // A member may set any bit, so the range is checked here. Bits set meanwhile are for the next round: one request
    // of each slot per round, whatever a member does.
    this.#visit = (slot) => {
      if (slot > SERVER_SLOT && slot < slots) this.#onRequest(slot);
    };
    this.#watch = new binding.FdWatch(eventfd, () => this.#ring());
    this.#watch.start(true, false);
    this.#lookAgain = setInterval(() => {
      // A counter driven to its end is an error to poll, on which libuv stops watching.
      this.#watch.start(true, false);
      this.#serve();
    }, LOOK_AGAIN_MS);
    this.#lookAgain.unref();
    this.#serve();
  }

  /** Must be called before the memory is unmapped. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#lookAgain);
    if (this.#again !== null) clearImmediate(this.#again);
    this.#watch.close();
  }

  #ring(): void {
    binding.eventfdDrain(this.#eventfd);
    this.#serve();
  }

  #serve(): void {
    if (this.#closed || this.#again !== null) return;
    for (let round = 0; round < ROUNDS; round++) {
      collect(this.#words, this.#base, this.#visit);
      if (arm(this.#words, this.#base)) return;
    }
    this.#again = setImmediate(() => {
      this.#again = null;
      this.#serve();
    });
  }
}
