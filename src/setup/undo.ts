import { existsSync } from 'node:fs';
import type { PciFunction } from '../pci/sysfs.ts';
import type { System } from './system.ts';

/**
 * How one step of `bind` is taken back. Plain data: it is written to disk before the step is made, so that even a
 * killed `bind` can be taken back by `unbind`. Taking back a step that was never made does nothing.
 */
export type Undo =
  | { readonly kind: 'probe'; readonly before: string | null }
  | { readonly kind: 'override'; readonly before: string | null }
  | { readonly kind: 'bound'; readonly driver: string }
  | { readonly kind: 'owner'; readonly path: string; readonly uid: number; readonly gid: number }
  | { readonly kind: 'parameter'; readonly path: string; readonly before: string };

/** Takes one step back. Kernel errors pass through. */
export function revert(system: System, device: PciFunction, undo: Undo): void {
  switch (undo.kind) {
    case 'bound':
      if (device.driver === undo.driver) device.unbind();
      return;
    case 'override':
      if (device.driverOverride !== (undo.before ?? undefined)) {
        device.setDriverOverride(undo.before ?? undefined);
      }
      return;
    case 'probe':
      // A device that had no driver gets none: another driver must not grab it now.
      if (undo.before === null || device.driver === undo.before) return;
      device.probe();
      if (device.driver !== undo.before) throw new Error(`${undo.before} did not take the device back`);
      return;
    case 'owner':
      if (existsSync(undo.path) && !isOwner(system, undo)) system.chown(undo.path, undo);
      return;
    case 'parameter':
      system.pci.write(undo.path, undo.before);
      return;
  }
}

function isOwner(system: System, { path, uid, gid }: { path: string; uid: number; gid: number }): boolean {
  const now = system.owner(path);
  return now.uid === uid && now.gid === gid;
}

/** In words, for `--dry-run` and for messages. */
export function describeUndo(undo: Undo): string {
  switch (undo.kind) {
    case 'bound':
      return `take the device from ${undo.driver}`;
    case 'override':
      return undo.before === null ? 'clear driver_override' : `set driver_override to ${undo.before}`;
    case 'probe':
      return undo.before === null
        ? 'leave the device without a driver'
        : `give the device back to ${undo.before}`;
    case 'owner':
      return `give ${undo.path} back to ${undo.uid}:${undo.gid}`;
    case 'parameter':
      return `write ${undo.before} to ${undo.path}`;
  }
}

/**
 * Takes steps back, the last one first, as far as possible. Returns those that failed, in their original order, with
 * the reasons.
 */
export function revertAll(
  system: System,
  device: PciFunction,
  undos: readonly Undo[],
): { undo: Undo; why: string }[] {
  const failed: { undo: Undo; why: string }[] = [];
  if (!device.exists) return failed; // Unplugged: nothing is left to restore.
  for (const undo of [...undos].reverse()) {
    try {
      revert(system, device, undo);
    } catch (error) {
      failed.unshift({ undo, why: `${describeUndo(undo)}: ${(error as Error).message}` });
    }
  }
  return failed;
}
