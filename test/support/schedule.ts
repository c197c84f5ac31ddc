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

/** Files of tests with one VM, which keeps one processor busy. */
export const SINGLE_VM: readonly string[] = [
  'test/vm/bind.ts',
  'test/vm/boot.ts',
  'test/vm/package.ts',
  'test/vm/reset.ts',
  'test/vm/vfio.ts',
  'test/vm/virtio.ts',
];

/** Those of `names` that `listed` has, in its order, and the others. */
export function split(names: readonly string[], listed: readonly string[]): [string[], string[]] {
  const gone = listed.filter((name) => !existsSync(name));
  if (gone.length > 0) throw new Error(`test/support/schedule.ts names what is no file: ${gone.join(' ')}`);
  return [listed.filter((name) => names.includes(name)), names.filter((name) => !listed.includes(name))];
}
