import { closeSync } from 'node:fs';
import { binding } from '../../native/binding.ts';
import type { Credentials } from '../region/admission.ts';
import { type Rate, TokenBucket } from '../region/token-bucket.ts';

/** How often clients may come: one process, and all processes of one user. */
export interface EntranceRates {
  readonly process: Rate;
  readonly user: Rate;
}

export const ENTRANCE: EntranceRates = {
  process: { burst: 200, perSecond: 100 },
  user: { burst: 1000, perSecond: 400 },
};

/** How many sockets wait: each is a descriptor of the server. */
export const MOST_WAITING = { process: 16, user: 64, all: 256 } as const;
/** Buckets that are full again are forgotten when there are more than this. */
const BUCKETS = 256;

interface Waiting {
  readonly socket: number;
  readonly credentials: Credentials;
  readonly process: string;
}

/**
 * Lets clients in as often as it is good for those who are there: each of them wakes up when a client comes, and again when it
 * goes. Who comes too often waits, first come first served; others pass. A timer runs only while somebody waits.
 */
export class Entrance {
  readonly #rates: EntranceRates;
  readonly #enter: (socket: number, credentials: Credentials) => void;
  readonly #failed: (error: unknown) => void;
  readonly #processes = new Map<string, TokenBucket>();
  readonly #users = new Map<number, TokenBucket>();
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | null = null;

  /** `enter`: it is the turn of one who waited; owns the socket unless it throws. `failed` hears of that. */
  constructor(
    rates: EntranceRates,
    enter: (socket: number, credentials: Credentials) => void,
    failed: (error: unknown) => void,
  ) {
    this.#rates = rates;
    this.#enter = enter;
    this.#failed = failed;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** How many processes and users are remembered. */
  get known(): number {
    return this.#processes.size + this.#users.size;
  }

  /** Whether this client may come in now; then it has. */
  pass({ pid, uid }: Credentials): boolean {
    const process = keyOf(pid, uid);
    const now = performance.now();
    // Nobody overtakes those who wait for the same.
    if (this.#waiting.some((one) => one.process === process || this.#waitsForUser(one, uid, now)))
      return false;
    return this.#take(process, uid, now);
  }

  /** Has a client wait whose socket is ours from now on. False, and it is not, when too many wait. */
  wait(socket: number, credentials: Credentials): boolean {
    const process = keyOf(credentials.pid, credentials.uid);
    if (this.#isCrowded(process, credentials.uid)) {
      this.#forgetGone();
      if (this.#isCrowded(process, credentials.uid)) return false;
    }
    this.#waiting.push({ socket, credentials, process });
    this.#later();
    return true;
  }

  /** Nobody comes in until it goes on. */
  pause(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  resume(): void {
    this.#later();
  }

  close(): void {
    this.pause();
    for (const { socket } of this.#waiting.splice(0)) closeSync(socket);
  }

  #serve(): void {
    this.#timer = null;
    this.#forgetGone();
    const stay: Waiting[] = [];
    const enter: Waiting[] = [];
    const now = performance.now();
    for (const one of this.#waiting) {
      const { process, credentials } = one;
      const first = !stay.some((other) => other.process === process);
      (first && this.#take(process, credentials.uid, now) ? enter : stay).push(one);
    }
    this.#waiting = stay;
    this.#later();
    for (const { socket, credentials } of enter) {
      try {
        this.#enter(socket, credentials);
      } catch (error) {
        closeSync(socket);
        this.#failed(error);
      }
    }
  }

  #later(): void {
    if (this.#timer !== null || this.#waiting.length === 0) return;
    const now = performance.now();
    const waits = this.#waiting.map(({ process, credentials: { uid } }) =>
      Math.max(this.#process(process, now).wait(now), this.#user(uid, now).wait(now)),
    );
    this.#timer = setTimeout(() => this.#serve(), Math.ceil(Math.min(...waits)) || 1).unref();
  }

  #take(process: string, uid: number, now: number): boolean {
    const buckets = [this.#process(process, now), this.#user(uid, now)];
    if (buckets.some((bucket) => bucket.wait(now) > 0)) return false;
    for (const bucket of buckets) bucket.take(now);
    return true;
  }

  #waitsForUser({ process, credentials }: Waiting, uid: number, now: number): boolean {
    return credentials.uid === uid && this.#process(process, now).wait(now) === 0;
  }

  #isCrowded(process: string, uid: number): boolean {
    const all = this.#waiting;
    return (
      all.length >= MOST_WAITING.all ||
      all.filter(({ credentials }) => credentials.uid === uid).length >= MOST_WAITING.user ||
      all.filter((one) => one.process === process).length >= MOST_WAITING.process
    );
  }

  /** Lets go of those who hung up. */
  #forgetGone(): void {
    const gone = new Set(this.#waiting.filter(({ socket }) => hungUp(socket)));
    if (gone.size === 0) return;
    this.#waiting = this.#waiting.filter((one) => !gone.has(one));
    for (const { socket } of gone) closeSync(socket);
  }

  #process(key: string, now: number): TokenBucket {
    return bucketOf(this.#processes, key, this.#rates.process, now);
  }

  #user(uid: number, now: number): TokenBucket {
    return bucketOf(this.#users, uid, this.#rates.user, now);
  }
}

function keyOf(pid: number, uid: number): string {
  return `${uid}.${pid}`;
}

function bucketOf<K>(buckets: Map<K, TokenBucket>, key: K, rate: Rate, now: number): TokenBucket {
  let bucket = buckets.get(key);
  if (bucket === undefined) {
    if (buckets.size >= BUCKETS) {
      for (const [other, one] of buckets) if (one.isFull(now)) buckets.delete(other);
    }
    bucket = new TokenBucket(rate, now);
    buckets.set(key, bucket);
  }
  return bucket;
}

/** A client has nothing to say; what it says all the same is thrown away. */
function hungUp(socket: number): boolean {
  try {
    const message = binding.receiveMessage(socket);
    if (message && message.fd >= 0) closeSync(message.fd);
    return message === undefined;
  } catch {
    return true; // ECONNRESET
  }
}
