import { channel } from 'node:diagnostics_channel';
import type { Reason } from './reasons.ts';

/** What became of the connections of this process, since it started. */
export interface NetCounters {
  /** TCP connections that were connected or accepted through this module. */
  readonly connections: number;
  /** Times that the bytes this side sends went over to shared memory, and back to TCP. */
  readonly toSharedMemory: number;
  readonly toTcp: number;
  /** By reason: attachments that came to nothing or ended. */
  readonly reasons: Readonly<Partial<Record<Reason, number>>>;
}

/** A message of the diagnostics channel `ivshmem:net.path`. */
export interface PathMessage {
  /** Name of the region, null when there is none. */
  readonly region: string | null;
  readonly path: 'tcp' | 'shared-memory';
  readonly reason: Reason;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
}

const count = { connections: 0, toSharedMemory: 0, toTcp: 0 };
const reasons: Partial<Record<Reason, number>> = {};
const paths = channel('ivshmem:net.path');

export function counters(): NetCounters {
  return { ...count, reasons: { ...reasons } };
}

export function countConnection(): void {
  count.connections++;
}

export function tellPath(
  before: 'tcp' | 'shared-memory',
  message: () => PathMessage,
  path: PathMessage['path'],
  reason: Reason,
): void {
  if (path !== before) count[path === 'tcp' ? 'toTcp' : 'toSharedMemory']++;
  if (reason !== 'none') reasons[reason] = (reasons[reason] ?? 0) + 1;
  if (paths.hasSubscribers) paths.publish(message());
}
