import { closeSync } from 'node:fs';
import { IvshmemError } from '../../errors/index.ts';
import { isKeptName } from './kept.ts';

/** SD_LISTEN_FDS_START of sd_listen_fds(3). */
const FIRST_FD = 3;

/** Descriptors that were there when the process started, by name. */
export interface PassedDescriptors {
  /** Listening sockets that systemd made (socket units), by the region's name. */
  readonly sockets: ReadonlyMap<string, number>;
  /** What an earlier server gave to systemd's descriptor store. */
  readonly kept: ReadonlyMap<string, number>;
}

/**
 * What systemd passed to this process (sd_listen_fds(3)); empty when that is nothing. The variables are removed, so that no
 * child takes them for its own. Throws ERR_IVSHMEM_SERVER_ACTIVATION.
 */
export function passedDescriptors(env: NodeJS.ProcessEnv, pid: number): PassedDescriptors {
  const sockets = new Map<string, number>();
  const kept = new Map<string, number>();
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = env;
  if (LISTEN_PID === undefined || Number(LISTEN_PID) !== pid) return { sockets, kept };
  delete env.LISTEN_PID;
  delete env.LISTEN_FDS;
  delete env.LISTEN_FDNAMES;
  const count = Number(LISTEN_FDS);
  if (!Number.isInteger(count) || count < 0) {
    throw new IvshmemError('ERR_IVSHMEM_SERVER_ACTIVATION', { why: `LISTEN_FDS is "${LISTEN_FDS}"` });
  }
  const names = LISTEN_FDNAMES?.split(':') ?? [];
  for (let i = 0; i < count; i++) {
    const name = names[i] ?? 'unknown';
    const fd = FIRST_FD + i;
    if (isKeptName(name)) replace(kept, name, fd);
    else if (!sockets.has(name)) sockets.set(name, fd);
    else throw new IvshmemError('ERR_IVSHMEM_SERVER_ACTIVATION', { why: `two sockets are named "${name}"` });
  }
  return { sockets, kept };
}

/** systemd keeps two under one name when asked to; the last given counts. */
function replace(kept: Map<string, number>, name: string, fd: number): void {
  const before = kept.get(name);
  if (before !== undefined) closeSync(before);
  kept.set(name, fd);
}
