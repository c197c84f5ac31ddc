import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { PROOF_BYTES } from './frames.ts';
import { NONCE_BYTES } from './messages.ts';

export const newNonce = (): Uint8Array => randomBytes(NONCE_BYTES);

/** Both proofs of one attachment. */
export interface Proofs {
  readonly acceptor: Uint8Array;
  readonly connector: Uint8Array;
}

/**
 * What each side writes into its TCP direction. It can only be made by who has seen both nonces on the channel, and it names
 * that channel and the slots at its ends: a member in the middle of two channels has nothing that it could pass on.
 */
export function proofsOf(connectorNonce: Uint8Array, acceptorNonce: Uint8Array, binding: string): Proofs {
  const make = (side: string): Uint8Array =>
    createHmac('sha256', Buffer.concat([connectorNonce, acceptorNonce]))
      .update(`ivshmem/net ${side} ${binding}`)
      .digest()
      .subarray(0, PROOF_BYTES);
  return { acceptor: make('acceptor'), connector: make('connector') };
}

export function sameProof(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
