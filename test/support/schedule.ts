import { existsSync } from 'node:fs';

/** Files of tests that wait for most of their time: until nothing has moved for a while, or until somebody's patience ends. */
export const MOSTLY_WAITING: readonly string[] = [
  'test/host/hosts/deaths.ts',
  'test/host/hosts/late.ts',
  'test/host/hosts/partition.ts',
  'test/host/hosts/removal.ts',
  'test/host/restart/systemd.ts',
  'test/membership/attachment.ts',
  'test/membership/idle.ts',
  'test/membership/region.ts',
];

/** Files of tests whose VMs want both of two processors for long. The one with four VMs first, while the others have their short ones. */
export const HEAVY_VMS: readonly string[] = [
  'test/vm/members.ts',
  'test/vm/dsm-hosts.ts',
  'test/vm/hostile.ts',
  'test/vm/many-sockets.ts',
  'test/vm/migrate.ts',
  'test/vm/programs.ts',
  'test/vm/tun.ts',
];

/** Those of `names` that `listed` has, in its order, and the others. */
export function split(names: readonly string[], listed: readonly string[]): [string[], string[]] {
  const gone = listed.filter((name) => !existsSync(name));
  if (gone.length > 0) throw new Error(`test/support/schedule.ts names what is no file: ${gone.join(' ')}`);
  return [listed.filter((name) => names.includes(name)), names.filter((name) => !listed.includes(name))];
}
