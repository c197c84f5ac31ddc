import { chmodSync, chownSync, closeSync, lstatSync, rmSync, type Stats } from 'node:fs';
import { IvshmemError } from '../../errors/index.ts';
import { binding } from '../../native/binding.ts';

const BACKLOG = 128;

/** Where a listening socket is, so that a later server knows whether the path is still its own; 0: an abstract name. */
export interface SocketPlace {
  readonly path: string;
  readonly ino: number;
}

/** A listening socket and how to get rid of it. */
export interface Listener {
  readonly fd: number;
  /** Null: systemd made it. */
  readonly place: SocketPlace | null;
  /** Where it listens, for messages. */
  readonly on: string;
  /** Stops listening and removes the socket file. */
  close(): void;
}

/**
 * Listens at a path or an abstract name. A socket file that nobody listens on any more is removed first. The file never
 * exists with more rights than `mode`. Throws ERR_IVSHMEM_SERVER_SOCKET_BUSY or ERR_IVSHMEM_SERVER_SOCKET.
 */
export function listen(path: string, mode: number, group: number | undefined): Listener {
  if (path.startsWith('@')) {
    const fd = bind(path, mode);
    return { fd, on: path, place: { path, ino: 0 }, close: () => closeSync(fd) };
  }
  removeStale(path);
  const fd = bind(path, mode);
  try {
    const { ino } = lstatSync(path);
    if (group !== undefined) chownSync(path, -1, group);
    // chown may have cleared nothing and umask may have taken too much: say it exactly.
    chmodSync(path, mode);
    return { fd, on: path, place: { path, ino }, close: () => closeAndRemove(fd, path, ino) };
  } catch (cause) {
    closeSync(fd);
    rmSync(path, { force: true });
    throw failure(path, cause);
  }
}

/** A socket that systemd made and will remove. */
export function activated(fd: number, name: string): Listener {
  return { fd, on: `systemd:${name}`, place: null, close: () => closeSync(fd) };
}

/**
 * The socket that an earlier server made at `path`, null when it is another's by now: moved in the configuration, or its file
 * removed. Owns `fd`.
 */
export function adopted(fd: number, path: string, place: SocketPlace | null): Listener | null {
  const abstract = path.startsWith('@');
  const same = place !== null && place.path === path;
  if (same && (abstract || lstatSync(path, { throwIfNoEntry: false })?.ino === place.ino)) {
    const close = abstract ? () => closeSync(fd) : () => closeAndRemove(fd, path, place.ino);
    return { fd, on: path, place, close };
  }
  closeSync(fd);
  return null;
}

function bind(path: string, mode: number): number {
  const before = process.umask(0o777 & ~mode);
  try {
    return binding.socketListen(path, BACKLOG);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EADDRINUSE') throw busy(path);
    throw failure(path, cause);
  } finally {
    process.umask(before);
  }
}

function removeStale(path: string): void {
  let found: Stats | undefined;
  try {
    found = lstatSync(path, { throwIfNoEntry: false });
  } catch (cause) {
    throw failure(path, cause);
  }
  if (found === undefined) return;
  if (!found.isSocket()) throw failure(path, new Error('there is a file that is not a socket'));
  try {
    closeSync(binding.socketConnect(path));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EAGAIN') throw busy(path);
    if (code !== 'ECONNREFUSED' && code !== 'ENOENT') throw failure(path, cause);
    try {
      rmSync(path, { force: true });
    } catch (denied) {
      throw failure(path, denied);
    }
    return;
  }
  throw busy(path);
}

/** Only our own file: another server may have taken the path since. */
function closeAndRemove(fd: number, path: string, ino: number): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) rmSync(path, { force: true });
  closeSync(fd);
}

function busy(on: string): IvshmemError {
  return new IvshmemError('ERR_IVSHMEM_SERVER_SOCKET_BUSY', { on });
}

function failure(on: string, cause: unknown): IvshmemError {
  return new IvshmemError('ERR_IVSHMEM_SERVER_SOCKET', { on, why: (cause as Error).message }, { cause });
}
