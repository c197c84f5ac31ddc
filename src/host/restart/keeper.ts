import { binding } from '../../native/binding.ts';
import type { Log } from '../log.ts';
import { bellPart, keptName } from './kept.ts';

/**
 * Who holds descriptors while no server does: systemd's descriptor store, or `ivshmem server --supervised`. Both are told
 * with datagrams (sd_notify(3)), which arrive in order and although the sender died right after.
 */
export interface Keeper {
  /** Whether it gives back what it is given; otherwise it only wants to be told of the server. */
  readonly holds: boolean;
  /** Holds a duplicate of `fd` under `name` from now on. The caller keeps its own. */
  keep(name: string, fd: number): void;
  /** Lets go of what is held under `name`. */
  forget(name: string): void;
  /** The server serves. */
  ready(): void;
  stopping(): void;
}

/** Speaks to NOTIFY_SOCKET. A keeper that cannot be reached is logged once: the server goes on without. */
export class NotifyKeeper implements Keeper {
  readonly #socket: string;
  readonly #log: Log;
  readonly holds: boolean;
  #lost = false;

  constructor(socket: string, log: Log, holds = true) {
    this.#socket = socket;
    this.#log = log;
    this.holds = holds;
  }

  keep(name: string, fd: number): void {
    if (!this.holds) return;
    // FDPOLL=0: otherwise systemd drops a client's socket when its process ends, and that of a listener never.
    this.#send(`FDSTORE=1\nFDNAME=${name}\nFDPOLL=0`, fd);
  }

  forget(name: string): void {
    if (!this.holds) return;
    this.#send(`FDSTOREREMOVE=1\nFDNAME=${name}`, -1);
  }

  ready(): void {
    this.#send('READY=1', -1);
  }

  stopping(): void {
    this.#send('STOPPING=1', -1);
  }

  #send(text: string, fd: number): void {
    if (this.#lost) return;
    try {
      binding.datagramSend(this.#socket, text, fd);
    } catch (error) {
      this.#lost = true;
      this.#log.error(
        { err: error },
        'cannot reach who keeps the descriptors; a restart will lose the members',
      );
    }
  }
}

/**
 * systemd gives all names back in one environment variable, and the kernel takes none longer than MAX_ARG_STRLEN (128 KiB): with
 * more the server could never be started again.
 */
const MOST_NAME_BYTES = 120 << 10;

/**
 * The keeper of this process by its environment, null when there is none. `supervised`: it is `ivshmem server --supervised`,
 * which has no limit.
 */
export function keeperOf(
  env: NodeJS.ProcessEnv,
  log: Log,
  regions: readonly { readonly name: string; readonly slots: number; readonly vectors: number }[],
  supervised: boolean,
): Keeper | null {
  const socket = env.NOTIFY_SOCKET;
  if (socket === undefined || socket === '') return null;
  const bytes = regions.reduce((sum, { name, slots, vectors }) => {
    // Each bell and client is named once; the handful of others is in the difference to the limit.
    const longest = keptName(name, bellPart(slots, vectors)).length + 1;
    return sum + slots * (vectors + 1) * longest;
  }, 0);
  const holds = supervised || bytes <= MOST_NAME_BYTES;
  if (!holds) {
    log.error(
      { bytes, most: MOST_NAME_BYTES },
      'too many descriptors for systemd to keep; a restart will end the regions',
    );
  }
  return new NotifyKeeper(socket, log, holds);
}

/** What a region gives to its keeper, and no more once it is closed. Without a keeper it does nothing. */
export class RegionKeeper {
  readonly #keeper: Keeper | null;
  readonly #region: string;
  readonly #names = new Set<string>();

  constructor(keeper: Keeper | null, region: string) {
    this.#keeper = keeper;
    this.#region = region;
  }

  keep(part: string, fd: number): void {
    // systemd holds as many under a name as it is given.
    this.forget(part);
    this.#names.add(part);
    this.#keeper?.keep(keptName(this.#region, part), fd);
  }

  /** The keeper has it from an earlier server. */
  adopt(part: string): void {
    this.#names.add(part);
  }

  forget(part: string): void {
    if (this.#names.delete(part)) this.#keeper?.forget(keptName(this.#region, part));
  }

  /** The region has ended, or another server has it: nothing shall come back. */
  forgetAll(): void {
    for (const part of [...this.#names]) this.forget(part);
  }
}
