import { closeSync } from 'node:fs';
import { binding } from '../../native/binding.ts';
import { Link } from '../sockets/link.ts';
import { Parcel } from './parcel.ts';
import { WARM } from './standby.ts';

/**
 * Of a server on standby: tells its supervisor that it is loaded, and waits for what is kept, by name. Null when the supervisor
 * is gone: then nobody shall serve. Throws an Error when what comes is no parcel.
 */
export function receiveWord(socket: string): Promise<ReadonlyMap<string, number> | null> {
  return new Promise((resolve, reject) => {
    let connected: number;
    try {
      connected = binding.socketConnect(socket);
    } catch {
      resolve(null);
      return;
    }
    const parcel = new Parcel();
    let done = false;
    const link = new Link(connected, {
      message: (value, fd) => {
        if (done) {
          if (fd >= 0) closeSync(fd);
          return;
        }
        try {
          const kept = parcel.add(value, fd);
          if (kept === null) return;
          done = true;
          // Left open and unwatched: the supervisor tells by it whether the process lives.
          link.unref();
          resolve(kept);
        } catch (error) {
          reject(error);
        }
      },
      end: () => resolve(null),
    }).ref();
    link.send([WARM], [-1]);
  });
}
