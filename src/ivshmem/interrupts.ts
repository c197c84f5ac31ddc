import { IvshmemError } from '../errors/index.ts';
import type { Binding, InterruptThread } from '../native/binding.ts';

export type InterruptThreadClass = Binding['InterruptThread'];
export type InterruptCallback = (count: number) => void;

interface Running {
  readonly vectors: readonly number[];
  readonly thread: InterruptThread;
}

/**
 * Who gets the interrupts of which vector. A vector is free, taken (somebody else polls its eventfd), or a native thread
 * owns it. Registrations of one turn of the event loop share a thread: doorbells stay in the eventfd until it runs,
 * so none is lost, and a thread is never restarted, which could lose a call under way.
 */
export class Interrupts {
  readonly #on: string;
  readonly #eventfds: readonly number[];
  readonly #Thread: InterruptThreadClass;
  readonly #callbacks = new Map<number, Set<InterruptCallback>>();
  readonly #taken = new Set<number>();
  readonly #running: Running[] = [];
  #waiting: number[] = [];
  #start: NodeJS.Immediate | undefined;
  #keepAlive = false;
  #closed = false;

  constructor(on: string, eventfds: readonly number[], thread: InterruptThreadClass) {
    this.#on = on;
    this.#eventfds = eventfds;
    this.#Thread = thread;
  }

  on(vector: number, callback: InterruptCallback): () => void {
    this.#check(vector);
    if (this.#taken.has(vector)) throw this.#refuse(vector, 'its eventfd was taken');
    let callbacks = this.#callbacks.get(vector);
    if (callbacks === undefined) {
      callbacks = new Set();
      this.#callbacks.set(vector, callbacks);
      this.#waiting.push(vector);
      // Not unref'ed: it runs in this turn anyway, and keepAlive must find the thread.
      this.#start ??= setImmediate(() => this.#launch());
    }
    callbacks.add(callback);
    return () => callbacks.delete(callback);
  }

  take(vector: number): number {
    const eventfd = this.#check(vector);
    if (this.#taken.has(vector)) throw this.#refuse(vector, 'its eventfd was taken');
    if (this.#callbacks.has(vector)) throw this.#refuse(vector, 'a callback waits for it');
    this.#taken.add(vector);
    return eventfd;
  }

  counts(): number[] {
    const counts = new Array<number>(this.#eventfds.length).fill(0);
    for (const { vectors, thread } of this.#running) {
      for (const [index, count] of thread.counts().entries()) counts[vectors[index]!] = count;
    }
    return counts;
  }

  spurious(): number {
    return this.#running.reduce((sum, { thread }) => sum + thread.spurious(), 0);
  }

  keepAlive(on: boolean): void {
    this.#keepAlive = on;
    for (const { thread } of this.#running) {
      if (on) thread.ref();
      else thread.unref();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#start !== undefined) clearImmediate(this.#start);
    for (const { thread } of this.#running) thread.close();
  }

  #launch(): void {
    this.#start = undefined;
    const vectors = this.#waiting;
    this.#waiting = [];
    const thread = new this.#Thread(
      vectors.map((vector) => this.#eventfds[vector]!),
      (index, count) => this.#deliver(vectors[index]!, count),
    );
    if (this.#keepAlive) thread.ref();
    this.#running.push({ vectors, thread });
  }

  #deliver(vector: number, count: number): void {
    // A call may be on its way when close() joins the thread.
    if (this.#closed) return;
    for (const callback of this.#callbacks.get(vector) ?? []) callback(count);
  }

  #check(vector: number): number {
    const eventfd = this.#eventfds[vector];
    if (eventfd === undefined) throw this.#refuse(vector, `it has ${this.#eventfds.length} vectors`);
    return eventfd;
  }

  #refuse(vector: number, why: string): IvshmemError {
    return new IvshmemError('ERR_IVSHMEM_VECTOR', { vector, on: this.#on, why });
  }
}
