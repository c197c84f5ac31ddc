import { IvshmemError } from '../../errors/index.ts';
import { SPREAD_OUTCOMES, type SpreadMemory } from '../../native/binding.ts';

/** Pages that are here until release(). */
export interface Pin {
  /**
   * Others may have the pages. Whether they were here until now: one that others waited for longer than the space allows was ended
   * before. Idempotent.
   */
  release(): boolean;
  [Symbol.dispose](): void;
}

interface Waiting {
  readonly operation: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Acquisitions of one space, by ticket. */
export class Pins {
  readonly #memory: SpreadMemory;
  readonly #on: string;
  readonly #waiting = new Map<number, Waiting>();
  /** Hears why the memory has ended by itself. */
  onEnded: (error: IvshmemError) => void = () => {};
  /** Hears that the hosts have removed the space, and nothing is mapped any more. */
  onRemoved: () => void = () => {};
  /** Hears of a party that is gone; 0: look again. */
  onCalled: (gone: number) => void = () => {};
  #ticket = 0;
  #closed = false;

  constructor(memory: SpreadMemory, on: string) {
    this.#memory = memory;
    this.#on = on;
  }

  /** `first` and `count` are of pages in the space. */
  async acquire(operation: string, first: number, count: number, write: boolean): Promise<Pin> {
    if (this.#closed) throw this.#closedError(operation);
    const ticket = this.#newTicket();
    await this.#wait(operation, ticket, () => this.#memory.acquire(ticket, first, count, write));
    let held = true;
    const release = (): boolean => {
      const kept = held && !this.#closed && this.#memory.release(ticket);
      held = false;
      return kept;
    };
    return { release, [Symbol.dispose]: () => void release() };
  }

  /** Until the node has done what `begin` asks of it with a ticket. */
  async done(operation: string, begin: (ticket: number) => void): Promise<void> {
    if (this.#closed) throw this.#closedError(operation);
    const ticket = this.#newTicket();
    await this.#wait(operation, ticket, () => begin(ticket));
  }

  /** Why the memory has ended by itself; null: it has not, as far as is known. */
  get ended(): IvshmemError | null {
    const by = this.#memory.endedBy;
    return by === null
      ? null
      : this.#error(SPREAD_OUTCOMES[by.outcome] ?? 'nonsense', 'use a space', by.page);
  }

  /** Throws the error that an outcome is. */
  check(operation: string, outcome: number): void {
    const name = SPREAD_OUTCOMES[outcome] ?? 'nonsense';
    if (name !== 'done') throw this.#error(name, operation);
  }

  /** Until the node knows of this opening. */
  opened(operation: string): Promise<void> {
    return this.#wait(operation, 0, () => {});
  }

  /** For SpreadMemory. */
  event(ticket: number, outcome: number, page = -1): void {
    if (ticket === -1) {
      this.onCalled(outcome);
      return;
    }
    const waiting = this.#waiting.get(ticket);
    const name = SPREAD_OUTCOMES[outcome] ?? 'nonsense';
    if (waiting === undefined) {
      if (ticket !== 0 || this.#closed) return;
      this.onEnded(this.#error(name, 'use a space', page));
      if (name === 'removed') this.onRemoved();
      return;
    }
    this.#waiting.delete(ticket);
    if (name === 'done') waiting.resolve();
    else waiting.reject(this.#error(name, waiting.operation, page));
  }

  /** Whoever waits is told. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const { operation, reject } of this.#waiting.values()) reject(this.#closedError(operation));
    this.#waiting.clear();
  }

  #newTicket(): number {
    do this.#ticket = (this.#ticket + 1) >>> 0;
    while (this.#ticket === 0 || this.#waiting.has(this.#ticket));
    return this.#ticket;
  }

  #wait(operation: string, ticket: number, begin: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(ticket, { operation, resolve, reject });
      begin();
    });
  }

  #error(outcome: (typeof SPREAD_OUTCOMES)[number], operation: string, page = -1): IvshmemError {
    const params = { operation, on: this.#on };
    switch (outcome) {
      case 'lost':
        return new IvshmemError('ERR_IVSHMEM_PAGES_LOST', {
          ...params,
          page: page < 0 ? 'a page' : `page ${page} of the space`,
        });
      case 'fenced':
        return new IvshmemError('ERR_IVSHMEM_PAGES_FENCED', params);
      case 'removed':
        return new IvshmemError('ERR_IVSHMEM_PAGES_REVOKED', params);
      case 'silent':
        return new IvshmemError('ERR_IVSHMEM_PAGES_SILENT', params);
      case 'closed':
        return this.#closedError(operation);
      default:
        return new IvshmemError('ERR_IVSHMEM_PAGES_BROKEN', { ...params, why: WHY[outcome] ?? outcome });
    }
  }

  #closedError(operation: string): IvshmemError {
    return new IvshmemError('ERR_IVSHMEM_CLOSED', { operation, on: this.#on });
  }
}

const WHY: Readonly<Record<string, string>> = {
  range: 'the host has no such pages in the space',
  nonsense: 'what the server wrote for this member makes no sense',
  memory: 'the kernel refused to map the pages',
};
