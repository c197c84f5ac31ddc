/** The interop traffic of native/test/traffic.h, which is its specification, for the TypeScript peer. */

export interface TrafficOptions {
  /** Descriptors. */
  readonly size: number;
  /** Buffers in all. */
  readonly count: number;
  readonly seed: number;
  /** Most buffers published at once, and handed back by one used descriptor. */
  readonly batch: number;
  readonly chained: boolean;
  readonly indirect: boolean;
  /** Sleep until the bell is rung, by event suppression, rather than poll the ring. */
  readonly events: boolean;
}

export interface TrafficPlace {
  readonly driverEvent: number;
  readonly deviceEvent: number;
  readonly driverBell: number;
  readonly deviceBell: number;
  readonly tables: number;
  readonly data: number;
  readonly bytes: number;
}

export const TABLE_BYTES = 64;
const ELEMENT_BYTES = 256;
const BUFFER_BYTES = 1024;

/** Where things lie in the file both peers map; byte offsets. */
export function trafficPlace(size: number): TrafficPlace {
  const events = Math.ceil((16 * size) / 64) * 64;
  const tables = events + 256;
  const data = tables + size * TABLE_BYTES;
  return {
    driverEvent: events,
    deviceEvent: events + 64,
    driverBell: events + 128,
    deviceBell: events + 192,
    tables,
    data,
    bytes: data + size * BUFFER_BYTES,
  };
}

/** xorshift32. */
export class Random {
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  #state: number;
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }
  clone(): Random {
    return new Random(this.#state);
  }
}

export interface TrafficElement {
  readonly addr: number;
  readonly len: number;
  readonly writable: boolean;
}

/** Buffer number `sequence`: its shape, and the bytes of its elements. */
export class TrafficBuffer {
  readonly indirect: boolean;
  readonly elements: readonly TrafficElement[];
  readonly #random: Random;

  constructor(options: TrafficOptions, sequence: number) {
    const { size, chained, indirect } = options;
    const start = (options.seed ^ Math.imul(sequence + 1, 0x9e3779b1)) >>> 0;
    const random = new Random(start === 0 ? 1 : start);
    let readable = 1 + (random.next() % 3);
    let writable = random.next() % 2;
    const table = (random.next() & 1) === 1;
    this.indirect = chained && indirect ? table : indirect;
    if ((!chained && !indirect) || readable + writable > size) {
      readable = 1;
      writable = 0;
    }
    const base = trafficPlace(size).data + (sequence % size) * BUFFER_BYTES;
    this.elements = Array.from({ length: readable + writable }, (_, i) => ({
      addr: base + i * ELEMENT_BYTES,
      len: 1 + (random.next() % ELEMENT_BYTES),
      writable: i >= readable,
    }));
    this.#random = random;
  }

  /** Bytes its writable elements hold. */
  get written(): number {
    return this.elements.reduce((sum, { len, writable }) => sum + (writable ? len : 0), 0);
  }

  /** Writes the bytes of the writable, or else the readable, elements. */
  fill(memory: Uint8Array, writable: boolean): void {
    this.#visit(writable, (at, byte) => {
      memory[at] = byte;
    });
  }

  /** Whether the writable, or else the readable, elements hold the bytes they should. */
  check(memory: Uint8Array, writable: boolean): boolean {
    let right = true;
    this.#visit(writable, (at, byte) => {
      if (memory[at] !== byte) right = false;
    });
    return right;
  }

  #visit(writable: boolean, visit: (at: number, byte: number) => void): void {
    const random = this.#random.clone();
    for (const element of this.elements) {
      for (let k = 0; k < element.len; k++) {
        const byte = random.next() & 255;
        if (element.writable === writable) visit(element.addr + k, byte);
      }
    }
  }
}
