/** What a writer needs of its channel. */
export interface WriterTarget {
  /** The largest message that can ever be in the ring at once, bytes. */
  readonly capacity: number;
  /** Copies in and sends one whole message; false when there is no room now. */
  send(bytes: Uint8Array): boolean;
  /** Copies in and sends one part of a message; false when there is no room now, or ever. */
  sendPart(piece: Uint8Array, more: boolean): boolean;
  /** Resolves true when trying again is worth it, false when the peer is gone. */
  untilReleased(): Promise<boolean>;
}

/** Sends messages of any size one after the other, in parts where the ring is too small, waiting for room as needed. */
export class Writer {
  /** A large message is half sent: nothing else may come between its parts. */
  partial = false;
  readonly #target: WriterTarget;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(target: WriterTarget) {
    this.#target = target;
  }

  /** Resolves false when the peer went before all of it was in the ring. */
  write(bytes: Uint8Array): Promise<boolean> {
    const whole = bytes.length <= this.#target.capacity / 2;
    const turn = this.#turn.then(() => (whole ? this.#writeWhole(bytes) : this.#writeParts(bytes)));
    this.#turn = turn.catch(() => false);
    return turn;
  }

  async #writeWhole(bytes: Uint8Array): Promise<boolean> {
    while (!this.#target.send(bytes)) if (!(await this.#target.untilReleased())) return false;
    return true;
  }

  async #writeParts(bytes: Uint8Array): Promise<boolean> {
    const part = Math.max(1, Math.floor(this.#target.capacity / 4));
    this.partial = true;
    try {
      for (let at = 0; at < bytes.length; at += part) {
        const piece = bytes.subarray(at, at + part);
        const more = at + part < bytes.length;
        while (!this.#target.sendPart(piece, more)) if (!(await this.#target.untilReleased())) return false;
      }
      return true;
    } finally {
      this.partial = false;
    }
  }
}
