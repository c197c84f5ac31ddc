import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Connects to a UNIX socket that a program just started is about to open: retries until it is there.
 * @throws the signal's reason, once it aborts
 */
export async function connectSocket(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    signal.throwIfAborted();
    const socket = await attempt(path);
    if (socket) return socket;
    await delay(20, undefined, { signal });
  }
}

function attempt(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.once('error', (error: NodeJS.ErrnoException) => {
      // Not there yet, or bound but not listening yet.
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(undefined);
      else reject(error);
    });
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      // A peer that dies mid-write shows as 'close' too, which the owner of the socket handles.
      socket.on('error', () => socket.destroy());
      resolve(socket);
    });
  });
}
