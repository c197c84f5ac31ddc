import { readFileSync } from 'node:fs';
import { IvshmemError } from '../errors/index.ts';
import type { Owner, System } from './system.ts';

/**
 * The user and primary group of a name or number. Asks the name service (`getent`, so LDAP users are found), and reads
 * /etc/passwd where there is no getent. ERR_IVSHMEM_BIND_UNKNOWN_USER when nobody is called that.
 */
export function findUser(system: System, user: string): Owner {
  const asked = system.run('getent', ['passwd', user]);
  const lines = asked.status === 0 ? [asked.stdout] : asked.status === 127 ? localUsers(system) : [];
  for (const line of lines) {
    const [name, , uid, gid] = line.trim().split(':');
    if (name === user || uid === user) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new IvshmemError('ERR_IVSHMEM_BIND_UNKNOWN_USER', { user });
}

function localUsers(system: System): string[] {
  return readFileSync(system.path('/etc/passwd'), 'utf8').split('\n');
}
