import type { Slot } from './slots.ts';

/** Pulses per time that a member asked for. */
const PER_TIME = 4;
const LEAST_TICK_MS = 10;
/** How long a sample waits for those that do not answer, and how it looks: this often at first, then half as often. */
const SAMPLE_MS = 200;
const FIRST_LOOK_MS = 1;
const LONGEST_LOOK_MS = 20;

export interface PulseEffects {
  /** The slots with a driver. */
  attached(): readonly Slot[];
  /** Writes the number of a pulse and tells the member. */
  send(slot: number, number: number): void;
  answer(slot: number): number;
  suspect(slot: Slot, suspect: boolean): void;
}

/** What is known of a member since it joined. */
interface Sign {
  readonly epoch: number;
  readonly generation: number;
  answer: number;
  /** Since when it owes an answer, milliseconds of performance.now(). */
  owes: number;
}

/**
 * Signs of life. Members are asked for one only while one of them wants to hear of suspects, or when somebody samples their
 * statistics; otherwise there is no timer.
 */
export class Pulse {
  readonly #effects: PulseEffects;
  readonly #signs = new Map<number, Sign>();
  #timer: NodeJS.Timeout | null = null;
  /** Milliseconds after which a member is suspect; 0: nobody asked. */
  #after = 0;
  #lastTick = 0;
  /** An earlier server's pulses were other numbers. */
  #number = Date.now() & 0x7fffffff;
  #closed = false;

  constructor(effects: PulseEffects) {
    this.#effects = effects;
  }

  /** Whether a timer runs. */
  get running(): boolean {
    return this.#timer !== null;
  }

  /** Whoever wants to hear of suspects may have changed. */
  update(): void {
    if (this.#closed) return;
    const asked = this.#effects.attached().map(({ suspectAfter }) => suspectAfter);
    const after = Math.min(...asked.filter((milliseconds) => milliseconds > 0));
    const wanted = Number.isFinite(after) ? Math.max(after, PER_TIME * LEAST_TICK_MS) : 0;
    if (wanted === this.#after) return;
    this.#stop();
    this.#after = wanted;
    if (wanted === 0) {
      // Nobody looks any more, so that nobody can be said to be silent.
      for (const slot of this.#effects.attached()) this.#effects.suspect(slot, false);
      return;
    }
    this.#timer = setInterval(() => this.#tick(), wanted / PER_TIME);
    this.#timer.unref();
    this.#tick();
  }

  /** For a visit of a slot: a member that was suspect may have answered. */
  look(slot: Slot): void {
    const sign = this.#signs.get(slot.id);
    if (!slot.suspect || sign === undefined) return;
    const answer = this.#effects.answer(slot.id);
    if (answer === sign.answer) return;
    sign.answer = answer;
    sign.owes = performance.now();
    this.#effects.suspect(slot, false);
  }

  /** Asks everybody for statistics. Resolves when all have answered, or after 200 ms. */
  async sample(): Promise<void> {
    const asked = this.#effects.attached().map(({ id, generation }) => ({ id, generation }));
    const number = this.#send(asked);
    const deadline = performance.now() + SAMPLE_MS;
    for (let wait = FIRST_LOOK_MS; performance.now() < deadline; wait = Math.min(2 * wait, LONGEST_LOOK_MS)) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      if (this.#closed) return;
      const there = new Map(this.#effects.attached().map(({ id, generation }) => [id, generation]));
      const waiting = asked.filter(({ id, generation }) => there.get(id) === generation);
      // A pulse of the timer may have come after ours.
      if (waiting.every(({ id }) => ((this.#effects.answer(id) - number) | 0) >= 0)) return;
    }
  }

  /** Sends nothing and blames nobody until the next update. */
  pause(): void {
    this.#stop();
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #tick(): void {
    const now = performance.now();
    // After a pause of this process itself nobody else can be blamed for it.
    const late = this.#lastTick > 0 && now - this.#lastTick > this.#after / 2 + LEAST_TICK_MS;
    this.#lastTick = now;
    const attached = this.#effects.attached();
    for (const slot of attached) this.#judge(slot, now, late);
    const ids = new Set(attached.map(({ id }) => id));
    for (const id of [...this.#signs.keys()]) if (!ids.has(id)) this.#signs.delete(id);
    this.#send(attached);
  }

  #judge(slot: Slot, now: number, late: boolean): void {
    const { id, epoch, generation } = slot;
    const answer = this.#effects.answer(id);
    const sign = this.#signs.get(id);
    if (sign === undefined || sign.epoch !== epoch || sign.generation !== generation) {
      this.#signs.set(id, { epoch, generation, answer, owes: now });
      return;
    }
    if (answer !== sign.answer || late) {
      sign.owes = now;
      if (answer !== sign.answer) this.#effects.suspect(slot, false);
      sign.answer = answer;
    } else if (now - sign.owes >= this.#after) this.#effects.suspect(slot, true);
  }

  #send(slots: readonly { readonly id: number }[]): number {
    this.#number = (this.#number + 1) | 0 || 1;
    for (const { id } of slots) this.#effects.send(id, this.#number);
    return this.#number;
  }

  #stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#after = 0;
    this.#lastTick = 0;
    this.#signs.clear();
  }
}
