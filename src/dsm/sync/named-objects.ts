import type { Barrier } from './barrier.ts';
import type { Condition } from './condition.ts';
import type { Counter } from './counter.ts';
import type { Mutex } from './mutex.ts';
import type { Once } from './once.ts';
import type { Permits } from './permits.ts';
import type { RwLock } from './rwlock.ts';
import type { Semaphore } from './semaphore.ts';
import type { Synchronization } from './synchronization.ts';

/** What is found in a space by its name, and made when there is none (docs/dsm-synchronization.md). */
export abstract class NamedObjects {
  /** Who keeps them. `kind` and `name`: of what is asked for, for the error when nobody does. */
  protected abstract keeper(kind: string, name: string): Synchronization;

  /** One at a time. */
  mutex(name: string): Mutex {
    return this.keeper('mutex', name).mutex(name);
  }

  /** Many readers or one writer. */
  rwlock(name: string): RwLock {
    return this.keeper('rwlock', name).rwlock(name);
  }

  /** Permits; `initial` (default 0) of them when it is made. */
  semaphore(name: string, options?: { readonly initial?: number }): Semaphore {
    return this.keeper('semaphore', name).semaphore(name, options);
  }

  /** `count` of them at a time (at most 12); those of a member that dies come back. */
  permits(name: string, options: { readonly count: number }): Permits {
    return this.keeper('permits', name).permits(name, options);
  }

  /** Waiting for what a mutex protects to change. */
  condition(name: string): Condition {
    return this.keeper('condition', name).condition(name);
  }

  /** `parties` wait for each other, again and again. A thread that opened one takes part in it by itself. */
  barrier(name: string, options: { readonly parties: number }): Barrier {
    return this.keeper('barrier', name).barrier(name, options);
  }

  /** A 64-bit number to add to, and to wait for. */
  counter(name: string): Counter {
    return this.keeper('counter', name).counter(name);
  }

  /** Something done once. */
  once(name: string): Once {
    return this.keeper('once', name).once(name);
  }
}
