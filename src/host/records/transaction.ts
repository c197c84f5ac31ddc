/** Where the records of each transaction go before anything of it is visible to a member. */
export interface JournalSink {
  /** One transaction: all of it is kept, or none. null removes a key. Throws when it cannot be kept. */
  append(entries: readonly (readonly [key: string, value: unknown])[]): void;
}

/**
 * One action of the server: the records it changed, and what is to be done in shared memory and with doorbells once they are
 * safe. A server that dies before the commit did nothing; one that dies after it does the effects again from the records.
 */
export class Transaction {
  readonly #entries = new Map<string, unknown>();
  readonly #effects: (() => void)[] = [];
  readonly #commit: (entries: ReadonlyMap<string, unknown>, effects: readonly (() => void)[]) => void;

  /** Made by Transactions. */
  constructor(commit: (entries: ReadonlyMap<string, unknown>, effects: readonly (() => void)[]) => void) {
    this.#commit = commit;
  }

  /** Records a changed value, a plain object as it is now; null removes it. The last one of a key counts. */
  put(key: string, record: object | null): void {
    this.#entries.set(key, record);
  }

  /** Something that others see, done after the commit in the order of the calls. It must be fit to be done twice. */
  after(effect: () => void): void {
    this.#effects.push(effect);
  }

  /** Keeps the records, then has the effects run. Throws what the sink throws; then no effect runs. */
  commit(): void {
    const effects = this.#effects.splice(0);
    this.#commit(this.#entries, effects);
    this.#entries.clear();
  }
}

/** The transactions of one region, one after the other, and their effects in the order of the commits. */
export class Transactions {
  readonly #sink: JournalSink | null;
  readonly #effects: (() => void)[] = [];
  #running = false;

  /** Without a sink nothing is kept: such a server cannot be restarted. */
  constructor(sink: JournalSink | null) {
    this.#sink = sink;
  }

  begin(): Transaction {
    return new Transaction((entries, effects) => this.#commit(entries, effects));
  }

  /** Does one action as one transaction. When the action throws nothing of it is kept or shown. */
  run<T>(action: (tx: Transaction) => T): T {
    const tx = this.begin();
    const result = action(tx);
    tx.commit();
    return result;
  }

  #commit(entries: ReadonlyMap<string, unknown>, effects: readonly (() => void)[]): void {
    if (entries.size > 0) this.#sink?.append([...entries]);
    this.#effects.push(...effects);
    // An effect may start another transaction (a send that fails ends its client); its effects come after all of ours.
    if (this.#running) return;
    this.#running = true;
    try {
      for (let effect = this.#effects.shift(); effect !== undefined; effect = this.#effects.shift()) effect();
    } finally {
      this.#running = false;
    }
  }
}
