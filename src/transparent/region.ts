import type { Socket as TcpSocket } from 'node:net';
import { debuglog } from 'node:util';
import type { Directory } from '../net/directory.ts';
import type { Following } from '../net/follow.ts';
import type { Participant } from '../net/participant.ts';
import { participantOf } from '../net/regions.ts';
import type { Socket } from '../net/socket.ts';
import { setPath, stateOf } from '../net/socket-state.ts';
import type { Settings } from './settings.ts';

const debug = debuglog('ivshmem');

/**
 * The region of this process. It is opened when the first socket of a program connects or listens, not before; and what fails is a
 * reason, never an exception.
 */
export class OwnRegion {
  readonly #settings: Settings;
  #following: Following | null = null;
  #beginning: Promise<void> | null = null;
  /** There is nothing that could open one. */
  #failed = false;
  #everJoined = false;
  #warned = false;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Calls back when it is known whether there is a region, with what offers connections there; null: nothing does. */
  begin(known: (participant: Participant | null) => void): void {
    this.#beginning ??= this.#begin();
    void this.#beginning.then(() => known(participantOf(undefined)));
  }

  /** What offers connections, as far as there is something yet. */
  get participant(): Participant | null {
    return this.#following === null ? null : participantOf(undefined);
  }

  /** False only where it is known that nobody in the region fits. */
  mayMeet(fits: (directory: Directory) => boolean): boolean {
    if (this.#settings.everyTls) return !this.#failed;
    if (this.#failed) return false;
    if (this.#following === null) return true;
    if (this.#following.region === null) return this.#everJoined || this.#following.failure === null;
    const directory = this.participant?.directory ?? null;
    return directory === null || fits(directory);
  }

  /** A connection on which nothing can be offered, and why. */
  stays(socket: TcpSocket, why: 'not-taking-part' | 'no-peer'): void {
    this.begin(() => {
      const region = this.#following?.region ?? null;
      if (!socket.destroyed) setPath(socket, 'tcp', region === null ? 'no-region' : why);
    });
  }

  connected(socket: TcpSocket): void {
    this.begin((participant) => {
      if (socket.destroyed) return;
      if (participant === null) setPath(socket, 'tcp', 'no-region');
      else participant.connected(socket as Socket);
    });
  }

  accepted(socket: TcpSocket): void {
    const { participant } = this;
    // At once: an offer may be waiting for it, and what it is used for is decided now.
    if (participant !== null) participant.accepted(socket as Socket);
    this.begin((known) => {
      if (socket.destroyed) return;
      if (participant === null) known?.accepted(socket as Socket);
      const { path } = stateOf(socket);
      if (path === 'tcp' && (known?.region ?? null) === null) setPath(socket, 'tcp', 'no-region');
    });
  }

  async #begin(): Promise<void> {
    try {
      // Only now: a program without sockets loads nothing of this.
      const { followRegion } = await import('../net/follow.ts');
      const following = followRegion(this.#settings.open);
      this.#following = following;
      following.on('region', (region) => {
        this.#everJoined = true;
        debug('in region %s as %s, slot %d', region.header.name, region.name, region.slot);
      });
      following.on('lost', () => debug('the region is gone'));
      following.on('failure', (error) => this.#tell(error));
      await following.tried;
    } catch (error) {
      this.#failed = true;
      this.#tell(error as Error);
    }
  }

  #tell(error: Error): void {
    debug('no region: %s', error.message);
    if (this.#settings.warn && !this.#warned) process.emitWarning(error);
    this.#warned = true;
  }
}
