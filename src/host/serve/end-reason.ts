import { readFileSync } from 'node:fs';
import { BACKENDS, REASON_CLOSED, REASON_CRASHED, REASON_UNPLUGGED } from '../../memory/membership.ts';

/** PF_EXITING of linux/sched.h, in field 9 (flags) of /proc/<pid>/stat. */
const PF_EXITING = 4;

/**
 * Why a member left whose client's socket ended without a GOODBYE or an obituary. A process that is being killed still has its
 * entry in /proc when its sockets are closed, but says that it is exiting.
 *
 * @param backend index into BACKENDS, from its HELLO
 */
export function endReason(pid: number, backend: number): number {
  if (isExiting(pid)) return REASON_CRASHED;
  switch (BACKENDS[backend]) {
    case 'host':
      return REASON_CLOSED;
    case 'vfio':
    case 'uio':
      return REASON_UNPLUGGED;
    default:
      return REASON_CRASHED;
  }
}

/** Whether the process is gone or going. */
export function isExiting(pid: number): boolean {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // hidepid= or another pid namespace (pid 0): then nothing is known, and a socket that ended is all there is.
    return code === 'ENOENT' || code === 'ESRCH';
  }
  // The name in parentheses may hold anything; the flags are the seventh field behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return /[ZX]/.test(fields[0]!) || (Number(fields[6]) & PF_EXITING) !== 0;
}
