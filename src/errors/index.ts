import { bindErrors } from './bind.ts';
import { channelErrors } from './channel.ts';
import { cliErrors } from './cli.ts';
import { controlErrors } from './control.ts';
import { type Entry, fill, type Parameters } from './define.ts';
import { deviceErrors } from './device.ts';
import { dsmErrors } from './dsm.ts';
import { dsmSyncErrors } from './dsm-sync.ts';
import { hostsErrors } from './hosts.ts';
import { membershipErrors } from './membership.ts';
import { migrateErrors } from './migrate.ts';
import { regionErrors } from './region.ts';
import { serverErrors } from './server.ts';
import { studyErrors } from './study.ts';
import { tunErrors } from './tun.ts';
import { vfioErrors } from './vfio.ts';
import { virtioErrors } from './virtio.ts';
import { virtqueueErrors } from './virtqueue.ts';

/** Every error this package raises, by its stable code. docs/errors.md is checked against it. */
export const catalogue = {
  ...deviceErrors,
  ...regionErrors,
  ...vfioErrors,
  ...virtioErrors,
  ...virtqueueErrors,
  ...channelErrors,
  ...membershipErrors,
  ...dsmErrors,
  ...serverErrors,
  ...controlErrors,
  ...bindErrors,
  ...cliErrors,
  ...tunErrors,
  ...migrateErrors,
  ...dsmSyncErrors,
  ...hostsErrors,
  ...studyErrors,
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof catalogue;

/**
 * A fault with a stable `code`, what was attempted, why it failed and what to do about it.
 * Expected outcomes (a full ring, a peer that left) are values and never arrive here.
 */
export class IvshmemError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'IvshmemError';
  readonly code: C;
  readonly remedy: string;
  /** `usage` maps to exit status 2, `failure` to 1. */
  readonly kind: 'usage' | 'failure';

  constructor(code: C, parameters: Parameters<(typeof catalogue)[C]>, options?: { cause?: unknown }) {
    const entry: Entry = catalogue[code];
    const remedy = fill(entry.remedy, parameters);
    super(`cannot ${fill(entry.attempted, parameters)}: ${fill(entry.why, parameters)}. ${remedy}`, options);
    this.code = code;
    this.remedy = remedy;
    this.kind = entry.kind;
  }
}

/** Whether an unknown caught value is a catalogued error, optionally one of the given code. */
export function isIvshmemError(value: unknown, code?: ErrorCode): value is IvshmemError {
  return value instanceof IvshmemError && (code === undefined || value.code === code);
}

/** What an error says, without what to do about it: for the `why` of another one. */
export function whyOf(error: unknown): string {
  const { message, remedy } = error as IvshmemError;
  if (!isIvshmemError(error)) return message;
  const what = message.endsWith(remedy) ? message.slice(0, -remedy.length).trimEnd() : message;
  return what.replace(/\.$/, '');
}
