const SUFFIX = '.control';

/** The control socket of the region at `socket`, unless its configuration says otherwise. */
export function controlPath(socket: string): string {
  return socket.endsWith(SUFFIX) ? socket : `${socket}${SUFFIX}`;
}
