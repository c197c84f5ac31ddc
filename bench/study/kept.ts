/** Something that is made when it is first asked for, stays, and is ended once. What failed to start is tried again. */
export class Kept<T> {
  readonly #start: () => Promise<T>;
  readonly #end: (made: T) => Promise<void>;
  #made: Promise<T> | undefined;

  constructor(start: () => Promise<T>, end: (made: T) => Promise<void>) {
    this.#start = start;
    this.#end = end;
  }

  get isThere(): boolean {
    return this.#made !== undefined;
  }

  async get(): Promise<T> {
    this.#made ??= this.#start();
    try {
      return await this.#made;
    } catch (error) {
      this.#made = undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    const made = this.#made;
    this.#made = undefined;
    if (made !== undefined) await this.#end(await made);
  }
}
