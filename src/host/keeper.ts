import { binding } from '../native/binding.ts';
import { keptName } from './kept.ts';
import type { Log } from './log.ts';

/**
 * Who holds descriptors while no server does: systemd's descriptor store, or `ivshmem server --supervised`. Both are told
 * with datagrams (sd_notify(3)), which arrive in order and although the sender died right after.
 */
export interface Keeper {
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
  #lost = false;

  constructor(socket: string, log: Log) {
    this.#socket = socket;
    this.#log = log;
  }

  keep(name: string, fd: number): void {
    // FDPOLL=0: otherwise systemd drops a client's socket when its process ends, and that of a listener never.
    this.#send(`FDSTORE=1\nFDNAME=${name}\nFDPOLL=0`, fd);
  }

  forget(name: string): void {
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

/** The keeper of this process by its environment, null when there is none. */
export function keeperOf(env: NodeJS.ProcessEnv, log: Log): Keeper | null {
  const socket = env.NOTIFY_SOCKET;
  return socket === undefined || socket === '' ? null : new NotifyKeeper(socket, log);
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
