/**
 * Cuts a byte stream into messages of one size without a copy by the program: the kernel reads into `store` directly
 * (the `onread` option of net.connect), and only the head of a message cut in two is moved.
 */
export class MessageReader {
  readonly #size: number;
  readonly #store: Uint8Array;
  readonly #words: Int32Array;
  readonly #onMessage: (words: Int32Array, at: number) => void;
  #filled = 0;

  constructor(size: number, capacity: number, onMessage: (words: Int32Array, at: number) => void) {
    this.#size = size;
    this.#store = new Uint8Array(capacity);
    this.#words = new Int32Array(this.#store.buffer);
    this.#onMessage = onMessage;
  }

  /** For `onread`: where the next read goes, and what to do with it. */
  readonly onread = {
    buffer: () => this.#store.subarray(this.#filled),
    callback: (bytes: number) => {
      this.#filled += bytes;
      let at = 0;
      for (; at + this.#size <= this.#filled; at += this.#size) this.#onMessage(this.#words, at / 4);
      if (at > 0) this.#store.copyWithin(0, at, this.#filled);
      this.#filled -= at;
      return true;
    },
  };
}
