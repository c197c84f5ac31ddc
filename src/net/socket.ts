import net from 'node:net';
import { equip } from './methods.ts';
import type { Reason } from './reasons.ts';
import { linkOf, stateOf } from './socket-state.ts';

export { setPath, stateOf, tupleOf } from './socket-state.ts';
export { linkUnder, obstacleOf } from './take-over.ts';

export interface SocketOptions extends net.SocketConstructorOpts {
  /** False: this socket stays on TCP. */
  readonly sharedMemory?: boolean;
}

/**
 * A socket of node:net. Until it is known that its peer takes part it is exactly that; then the TCP handle goes to an inner socket, and
 * this one reads and writes through a Link: so whoever looks for a handle to take over (the HTTP parser, TLS) finds none.
 */
export class Socket extends net.Socket {
  /** The option that the constructor was given. */
  readonly sharedMemory: boolean;

  constructor(options: SocketOptions = {}) {
    super(options);
    this.sharedMemory = options.sharedMemory !== false;
  }

  /** Which way what this side sends goes now. */
  get path(): 'tcp' | 'shared-memory' {
    return stateOf(this).path;
  }

  /** Why it goes over TCP; 'none' when nothing was tried yet, or when it does not. */
  get pathReason(): Reason {
    return stateOf(this).reason;
  }

  override once(event: string | symbol, listener: (...values: never[]) => void): this {
    // TLS takes a socket without a handle for one that is still to be connected, and waits for it.
    const waits = event === 'connect' && linkOf(this) !== null && !this.connecting && !this.destroyed;
    if (waits) process.nextTick(listener as () => void);
    return waits ? this : super.once(event as string, listener as (...values: unknown[]) => void);
  }
}

equip(Socket.prototype);
