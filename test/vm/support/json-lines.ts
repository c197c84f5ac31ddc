/** The JSON lines of a program that goes on speaking: each is parsed once, however often somebody looks. */
export class JsonLines<T> {
  readonly #said: () => string;
  readonly #lines: T[] = [];
  #read = 0;

  /** `said`: all it has said so far. */
  constructor(said: () => string) {
    this.#said = said;
  }

  /** Whole lines, so far. */
  get all(): readonly T[] {
    const said = this.#said();
    for (let end = said.indexOf('\n', this.#read); end >= 0; end = said.indexOf('\n', this.#read)) {
      this.#lines.push(JSON.parse(said.slice(this.#read, end)) as T);
      this.#read = end + 1;
    }
    return this.#lines;
  }
}
