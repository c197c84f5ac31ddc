import { existsSync, type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

/** Where nothing can be watched: how often to look, milliseconds. */
const LOOK_EVERY_MS = 1000;

/** A folder, and which names in it matter. */
interface Place {
  readonly folder: string;
  readonly names: RegExp;
}

/** Where a device that this process may open shows: as a node that appears, or that is given to this user (`ivshmem bind --user`). */
function placesOf(socket: string | undefined): Place[] {
  if (socket !== undefined) return [{ folder: dirname(socket), names: /./ }];
  // What is written to /dev/null is told to those who watch /dev: only where there is no way around it.
  if (!existsSync('/dev/vfio')) return [{ folder: '/dev', names: /^(vfio$|uio\d)/ }];
  const groups = { folder: '/dev/vfio', names: /\d$/ };
  return existsSync('/sys/class/uio') ? [groups, { folder: '/dev', names: /^uio\d/ }] : [groups];
}

/**
 * Calls back whenever a device, or the server's socket, may have become one that can be opened: often several times for one. The
 * kernel tells (inotify); nothing runs until then, but where it cannot be asked the callback comes every second. It does not
 * keep the process alive. Returns a function that stops it, idempotent.
 *
 * @param socket of a server on this host; undefined for the devices of a VM
 */
export function watchDevices(socket: string | undefined, onChange: () => void): () => void {
  const watchers: FSWatcher[] = [];
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    for (const watcher of watchers.splice(0)) watcher.close();
    clearInterval(timer);
    timer = undefined;
  };
  const begin = (): void => {
    stop();
    const lookOften = (): void => {
      timer ??= setInterval(onChange, LOOK_EVERY_MS).unref();
    };
    try {
      const places = placesOf(socket);
      const folders = foldersOf(places);
      for (const { folder, names } of places) {
        const watcher = watch(folder, { persistent: false }, (_event, name) => {
          // What is said of the folder itself has its name: it goes and comes with the server's service, and the new one is another.
          const own = name === basename(folder);
          if (name !== null && !own && !names.test(name)) return;
          if (own || foldersOf(placesOf(socket)) !== folders) begin();
          onChange();
        });
        watchers.push(watcher);
        watcher.on('error', lookOften);
      }
    } catch {
      lookOften();
    }
  };
  // Abstract sockets are in no folder.
  if (socket?.startsWith('@')) timer = setInterval(onChange, LOOK_EVERY_MS).unref();
  else begin();
  return stop;
}

const foldersOf = (places: readonly Place[]): string => places.map(({ folder }) => folder).join();
