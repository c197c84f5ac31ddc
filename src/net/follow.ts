import { EventEmitter } from 'node:events';
import { type OpenOptions, open, type Region } from '../channel/index.ts';
import { watchDevices } from './device-watch.ts';
import { Participant, type ParticipantOptions } from './participant.ts';
import { chooseParticipant } from './regions.ts';

/** After something changed, or the region was lost: first wait until a try, doubled each time, and how many tries. */
const TRY_MS = 50;
const MOST_TRIES = 9;

export interface FollowOptions extends OpenOptions, ParticipantOptions {
  /** How a region is opened, instead of by the other options. */
  readonly openRegion?: () => Promise<Region>;
}

export interface FollowEvents {
  /** A region was opened, and its members are known. */
  region: [region: Region];
  /** Its device is gone: connections are on TCP until the next one. */
  lost: [];
  /** There is none, or it could not be opened; tried again when something changes. */
  failure: [error: Error];
}

/**
 * Takes part in a region, and when its device is unplugged in the next one: after a live migration that is another server's on another
 * host. Connections go on over TCP meanwhile; in the new region listeners are advertised again and the connections that are there are
 * offered to whoever is in it. As after `setRegion`, of which this takes the place, it holds for all servers and sockets that are given no
 * region of their own, also for those that begin while there is no region yet.
 *
 * Options are those of `open` and of `setRegion`. Nothing has to be there yet: `tried` tells when the first attempt is over. What
 * fails is an event, `failure`, never an exception; nothing is polled, and nothing keeps the process alive.
 *
 *     const following = followRegion();
 *     await following.tried;
 *     console.log(following.region?.header.name ?? following.failure);
 */
export function followRegion(options: FollowOptions = {}): Following {
  return new Following(options);
}

/** What `followRegion` returns. */
export class Following extends EventEmitter<FollowEvents> {
  /** Resolves when the first attempt has succeeded or failed. */
  readonly tried: Promise<void>;
  readonly #open: () => Promise<Region>;
  readonly #socket: string | undefined;
  readonly #participant: Participant;
  #region: Region | null = null;
  #failure: Error | null = null;
  #state: 'waiting' | 'opening' | 'open' | 'closed' = 'waiting';
  /** Something changed while a region was being opened. */
  #changed = false;
  #tries = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopWatching: () => void;

  /** For followRegion. */
  constructor(options: FollowOptions) {
    super();
    this.#open = options.openRegion ?? (() => open(options));
    const inVm = options.backend === 'vfio' || options.backend === 'uio' || options.address !== undefined;
    this.#socket = options.socket ?? (inVm ? undefined : process.env.IVSHMEM_SOCKET || undefined);
    this.#participant = new Participant(null, options);
    chooseParticipant(this.#participant);
    this.#stopWatching = this.#watch();
    this.tried = this.#attempt();
  }

  /** The region there is now; null: none. */
  get region(): Region | null {
    return this.#region;
  }

  /** Why there is none, as of the last attempt; null while there is one. */
  get failure(): Error | null {
    return this.#failure;
  }

  /** Leaves the region and follows no more. Idempotent. Rejects as `region.close()` does. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#stopWatching();
    clearTimeout(this.#timer);
    chooseParticipant(null, this.#participant);
    const region = this.#region;
    this.#region = null;
    await region?.close();
  }

  #watch(): () => void {
    return watchDevices(this.#socket, () => {
      this.#tries = 0;
      if (this.#state === 'opening') this.#changed = true;
      else this.#tryLater();
    });
  }

  /** A device that changes does so in several steps, of which the first may already be told: there are a few attempts. */
  #tryLater(): void {
    if (this.#state !== 'waiting' || this.#tries >= MOST_TRIES) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#attempt(), TRY_MS << this.#tries++).unref();
  }

  async #attempt(): Promise<void> {
    this.#state = 'opening';
    this.#changed = false;
    let region: Region;
    try {
      region = await this.#open();
    } catch (error) {
      this.#failed(error as Error);
      return;
    }
    if (this.#closed) {
      region.close().catch((error: Error) => this.emit('failure', error));
      return;
    }
    this.#stopWatching();
    this.#state = 'open';
    this.#region = region;
    this.#failure = null;
    this.#participant.join(region);
    region.onRemoved(() => this.#lost());
    await this.#participant.ready;
    if (this.#region === region) this.emit('region', region);
  }

  #failed(error: Error): void {
    if (this.#closed) return;
    this.#state = 'waiting';
    this.#failure = error;
    this.emit('failure', error);
    if (this.#tries > 0 || this.#changed) this.#tryLater();
  }

  /** Not at once: the kernel is about to take the device away, and would wait for whoever opens it. */
  #lost(): void {
    if (this.#closed) return;
    this.#region = null;
    this.#state = 'waiting';
    this.#tries = 1;
    this.#stopWatching = this.#watch();
    this.emit('lost');
    this.#tryLater();
  }

  get #closed(): boolean {
    return this.#state === 'closed';
  }
}
