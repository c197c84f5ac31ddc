import { accessPaths } from './access.ts';
import type { Owner, System } from './system.ts';
import type { Transaction } from './transaction.ts';

/** Makes `owner` the owner of every file a program needs for the device; files that are theirs already stay untouched. */
export function grantAccess(system: System, transaction: Transaction, owner: Owner, user: string): void {
  const { device } = transaction;
  if (transaction.dryRun) {
    const paths = accessPaths(system, device);
    const missing = paths.length === 0 || paths.some((path) => !owns(system, path, owner));
    if (missing || transaction.steps.length > 0) {
      transaction.step(`give ${user} the files of the device`, undefined, () => {});
    }
    return;
  }
  // udev applies its own rules to a new node some time after it appears: wait, so that it cannot undo ours.
  if (transaction.steps.length > 0) system.run('udevadm', ['settle', '--timeout=10']);
  const paths = accessPaths(system, device);
  const nodes = system.path('/dev/');
  if (!paths.some((path) => path.startsWith(nodes))) {
    transaction.step(`find the device's node in ${nodes}`, undefined, () => {
      throw new Error(`${device.driver} made none; is a devtmpfs mounted there?`);
    });
  }
  for (const path of paths) {
    if (owns(system, path, owner)) continue;
    const before = system.owner(path);
    transaction.step(`give ${path} to ${user}`, { kind: 'owner', path, ...before }, () =>
      system.chown(path, owner),
    );
  }
}

function owns(system: System, path: string, owner: Owner): boolean {
  const { uid, gid } = system.owner(path);
  return uid === owner.uid && gid === owner.gid;
}
