/** IVSHMEM_PROTOCOL_VERSION of docs/specs/ivshmem-spec in QEMU. */
export const PROTOCOL_VERSION = 0;
/** Value of the message that carries the shared memory. */
export const SHARED_MEMORY = -1;

/**
 * Refusals travel as a version that nobody speaks. QEMU then fails with "server sent version N, expecting 0" and the
 * device is not made; had we closed the socket instead, it would spin for ever waiting for the rest.
 */
export const REFUSED_ADMISSION = 1001;
export const REFUSED_FULL = 1002;
export const REFUSED_FD_LIMIT = 1003;

/**
 * In place of the number of messages sent, while some are being sent: a server that dies then leaves nobody who knows how many the
 * client has: the next one only tells it that there are no more.
 */
export const SENT_IN_DOUBT = 0xffffffff;

/** Messages of the client-server protocol: values[i] travels with fds[i], -1 for none. */
export interface Messages {
  readonly values: number[];
  readonly fds: number[];
}

/**
 * What a client is sent when it takes `slot`: version, ID, memory; then the eventfds of every other slot, occupied or
 * not; then its own. Nothing ever follows, for QEMU's heap does not survive a peer ID that is announced, withdrawn and
 * announced again (docs/decisions/slots-not-churn.md).
 */
export function handshake(
  slot: number,
  memoryFd: number,
  eventfds: readonly (readonly number[])[],
): Messages {
  const values = [PROTOCOL_VERSION, slot, SHARED_MEMORY];
  const fds = [-1, -1, memoryFd];
  const announce = (peer: number): void => {
    for (const eventfd of eventfds[peer]!) {
      values.push(peer);
      fds.push(eventfd);
    }
  };
  for (let peer = 0; peer < eventfds.length; peer++) if (peer !== slot) announce(peer);
  announce(slot);
  return { values, fds };
}
