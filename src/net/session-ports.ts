import type { OutboundPorts, RingOut } from './outbound.ts';
import type { Reason } from './reasons.ts';

/** How long a step may take, ms. Who has proved nothing yet gets little where he holds up bytes. */
export const DEADLINE_MS = { answer: 5000, stall: 1000, fin: 1000, proof: 30_000 };

/** What a session needs of the world. */
export interface SessionPorts extends OutboundPorts {
  /** The next received bytes. False: no more for now. */
  deliver(bytes: Uint8Array): boolean;
  /** The received stream is complete. */
  end(): void;
  /** The connection cannot go on: reset it. */
  reset(why: string): void;
  /** The path of what is sent changed, or an attachment came to nothing. */
  changed(path: 'tcp' | 'shared-memory', reason: Reason): void;
  /** Nothing is under way any more: the next attachment may begin. */
  idle(): void;
  /** Calls `expired` after so many milliseconds, instead of what was asked before; 0: never. */
  deadline(ms: number): void;
}

/** One channel, for one attachment. */
export interface Ring extends RingOut {
  /** Names the channel and the slots at its ends, as the server's table has them. */
  readonly binding: string;
  /** Bytes of one direction; no more are handed over at once. */
  readonly capacity: number;
  /** Sends a message that is not data. False: it could not. */
  say(message: Uint8Array): boolean;
  /** Hands over what is in it, while it can be read. */
  drain(): void;
  close(): void;
}

/**
 * `offered`, `armed`, `proving`: the connector's steps; `accepted`, `proved`: the acceptor's (docs/net.md). `shared`: both
 * have proved. `resuming`: shared memory is gone, and one side has not said what it has.
 */
export type SessionState =
  | 'none'
  | 'offered'
  | 'armed'
  | 'proving'
  | 'accepted'
  | 'proved'
  | 'shared'
  | 'resuming';
