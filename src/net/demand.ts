/** Ticks in a row without a byte after which a connection gives its channel back. */
const QUIET_TICKS = 2;
/** Most connections that are tried again, or shrunk, at one tick. */
const MOST_AT_ONCE = 16;
/** Room that one connection gave back is looked for after so long: a burst of them counts once. */
const SOON_MS = 5;

/** What is asked of connections, and what is done about them. */
export interface DemandPorts<T> {
  /** Bytes that it carried until now, both ways. */
  carried(one: T): number;
  /** It is idle: its channel goes back. */
  rest(one: T): void;
  /** It carries bytes over TCP for lack of a channel: there may be one. */
  again(one: T): void;
  /** Others have no channel at all, and its own is larger than it was at first. */
  shrink(one: T): void;
}

interface Held {
  carried: number;
  quiet: number;
  /** Its channel is larger than it was at first. */
  readonly grown: boolean;
}

/**
 * Who holds channel memory, and who waits for some. One timer for all, that runs only while somebody holds or waits, and
 * never keeps the process alive.
 */
export class Demand<T> {
  readonly #ports: DemandPorts<T>;
  readonly #tickMs: number;
  readonly #held = new Map<T, Held>();
  /** Bytes each had carried when it was last looked at; who was tried goes to the end. */
  readonly #waiting = new Map<T, number>();
  #timer: NodeJS.Timeout | null = null;
  #soon: NodeJS.Timeout | null = null;

  /** `idleMs`: how long a connection may be without a byte before it gives its channel back; between that and half as much more. */
  constructor(ports: DemandPorts<T>, idleMs: number) {
    this.#ports = ports;
    this.#tickMs = Math.max(1, Math.ceil(idleMs / QUIET_TICKS));
  }

  /** Connections that hold channels, and that wait for one. */
  get counts(): { readonly held: number; readonly waiting: number } {
    return { held: this.#held.size, waiting: this.#waiting.size };
  }

  holds(one: T, grown: boolean): void {
    this.#waiting.delete(one);
    this.#held.set(one, { carried: this.#ports.carried(one), quiet: 0, grown });
    this.#start();
    // There may be more where this came from.
    this.#lookAgainSoon();
  }

  waits(one: T): void {
    this.#waiting.set(one, this.#ports.carried(one));
    this.#start();
  }

  /** It holds nothing any more; `gone`: and will not come again. */
  lets(one: T, gone: boolean): void {
    if (gone) this.#waiting.delete(one);
    const held = this.#held.delete(one);
    if (held) this.#lookAgainSoon();
    if (this.#held.size === 0 && this.#waiting.size === 0) this.stop();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#soon !== null) clearTimeout(this.#soon);
    this.#timer = null;
    this.#soon = null;
  }

  /** For the timer. */
  tick(): void {
    const resting: T[] = [];
    const grown: T[] = [];
    for (const [one, held] of this.#held) {
      const carried = this.#ports.carried(one);
      if (carried !== held.carried) {
        held.carried = carried;
        held.quiet = 0;
      } else if (++held.quiet >= QUIET_TICKS) resting.push(one);
      if (held.grown) grown.push(one);
    }
    for (const one of resting) this.#ports.rest(one);
    const tried = this.#again();
    if (tried === 0 || resting.length > 0) return;
    for (const one of grown.slice(0, MOST_AT_ONCE)) this.#ports.shrink(one);
  }

  /** Tries those again that carried something since they were last looked at; says how many there are. */
  #again(): number {
    const busy: T[] = [];
    for (const [one, before] of this.#waiting) if (this.#ports.carried(one) !== before) busy.push(one);
    for (const one of busy.slice(0, MOST_AT_ONCE)) {
      this.#waiting.delete(one);
      this.#waiting.set(one, this.#ports.carried(one));
      this.#ports.again(one);
    }
    return busy.length;
  }

  #lookAgainSoon(): void {
    if (this.#waiting.size === 0) return;
    this.#soon ??= setTimeout(() => {
      this.#soon = null;
      this.#again();
    }, SOON_MS).unref();
  }

  #start(): void {
    this.#timer ??= setInterval(() => this.tick(), this.#tickMs).unref();
  }
}
