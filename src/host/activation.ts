import { IvshmemError } from '../errors/index.ts';

/** SD_LISTEN_FDS_START of sd_listen_fds(3). */
const FIRST_FD = 3;

/**
 * The listening sockets systemd passed to this process, by name (sd_listen_fds(3)); empty when there are none. The
 * variables are removed, so that no child takes them for its own.
 */
export function activatedSockets(env: NodeJS.ProcessEnv, pid: number): Map<string, number> {
  const sockets = new Map<string, number>();
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = env;
  if (LISTEN_PID === undefined || Number(LISTEN_PID) !== pid) return sockets;
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
    if (sockets.has(name)) {
      throw new IvshmemError('ERR_IVSHMEM_SERVER_ACTIVATION', { why: `two sockets are named "${name}"` });
    }
    sockets.set(name, FIRST_FD + i);
  }
  return sockets;
}
