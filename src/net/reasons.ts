/** Why a connection is on TCP, by the number that DECLINE carries. Numbers keep their meaning; new ones are added at the end. */
const REASONS = [
  'none',
  /** No region was given to this process, or it has left it. */
  'no-region',
  /** Nobody active in the region has that address and listens there. */
  'no-peer',
  /** This socket, or its listener, does not take part (`sharedMemory: false`, `onread`, a handle that others read). */
  'not-taking-part',
  /** The channel could not be made: a quota, no memory, no server. */
  'no-channel',
  /** The peer has no such connection: an address translator is in between, or the address is another machine's too. */
  'unknown-connection',
  /** The member that offers does not have the address the connection comes from. */
  'foreign-address',
  /** One direction was ended before it could prove anything. */
  'half-closed',
  /** The peer is at something else with this connection. */
  'busy',
  /** The peer did not answer in time. */
  'timeout',
  /** What was said on the channel, or stood in place of the proof, was wrong. */
  'not-proven',
  /** The peer broke the rules of the channel; it is not tried again. */
  'peer-fault',
  /** The channel ended: its device was unplugged, its region closed, or its member died. */
  'channel-lost',
  /** One of the members is leaving. */
  'leaving',
  /** The program asked for TCP. */
  'asked',
  /** Nothing was carried for a while: the channel was given back. */
  'idle',
  /** For a moment, on the way to a channel of another size. */
  'resized',
  /** A program has much to read that came over TCP: what is said behind it would be heard too late. */
  'unread',
] as const;

export type Reason = (typeof REASONS)[number];

export const reasonNumber = (reason: Reason): number => REASONS.indexOf(reason);

/** What a peer's number means; an unknown one is of a later version. */
export const reasonOf = (number: number): Reason => REASONS[number] ?? 'not-taking-part';

/** Reasons that may be gone a moment later. A peer that gives up just before its proof is armed for leaves data where it should be. */
export const passing = (reason: Reason): boolean =>
  reason === 'busy' ||
  reason === 'channel-lost' ||
  reason === 'timeout' ||
  reason === 'not-proven' ||
  reason === 'unread' ||
  reason === 'asked';
