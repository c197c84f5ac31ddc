import { existsSync } from 'node:fs';

/** Files of tests that wait for most of their time, for a lease, a deadline or somebody's patience to end; the longest first. */
export const MOSTLY_WAITING: readonly string[] = [
  'test/host/hosts/replicas.ts',
  'test/host/hosts/release.ts',
  'test/host/hosts/late.ts',
  'test/host/hosts/deaths.ts',
  'test/membership/region.ts',
  'test/host/hosts/partition.ts',
  'test/membership/idle.ts',
  'test/host/hosts/removal.ts',
  'test/dsm/spread/release.ts',
  'test/cli/top.ts',
  'test/membership/attachment.ts',
  'test/dsm/spread/locks.ts',
  'test/channel/region.ts',
  'test/backend/guardian.ts',
  'test/host/restart/systemd.ts',
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

/** Files of tests that take long and wait for little. They are begun first: no processor is to wait for the last of them. */
export const LONG: readonly string[] = [
  'test/native/dsm-release-model.ts',
  'test/examples.ts',
  'test/host/restart/kill.ts',
  'test/native/hosts-hostile.ts',
  'test/host/restart/replace.ts',
  'test/package.ts',
  'test/virtqueue/interop.ts',
  'test/vm/membership.ts',
  'test/vm/bind.ts',
  'test/vm/death.ts',
];

/** Those of `names` that `listed` has, in its order, and the others. */
export function split(names: readonly string[], listed: readonly string[]): [string[], string[]] {
  const gone = listed.filter((name) => !existsSync(name));
  if (gone.length > 0) throw new Error(`test/support/schedule.ts names what is no file: ${gone.join(' ')}`);
  return [listed.filter((name) => names.includes(name)), names.filter((name) => !listed.includes(name))];
}
