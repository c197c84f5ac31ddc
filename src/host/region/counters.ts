import { REASONS } from '../../memory/membership.ts';

const OPERATIONS = [
  'unknown',
  'hello',
  'listen',
  'unlisten',
  'connect',
  'close',
  'goodbye',
  'describe',
  'drain',
  'suspect',
  'refresh',
  'space_open',
  'space_close',
  'space_remove',
  'space_revoke',
] as const;
const STATUSES = [
  'ok',
  'version',
  'no_service',
  'no_memory',
  'no_channel',
  'name_taken',
  'bad_request',
  'not_attached',
  'quota',
  'evicted',
  'no_space',
  'space_exists',
  'space_differs',
] as const;

/** Why a connection was refused. */
export type RefusalReason = 'not_admitted' | 'rule_full' | 'full' | 'too_many' | 'descriptors';

/** What a region's server has counted since it started. Only ever grows. */
export class Counters {
  /** By operation, then by status. */
  readonly requests: Record<string, Record<string, number>> = {};
  readonly refusals: Record<RefusalReason, number> = {
    not_admitted: 0,
    rule_full: 0,
    full: 0,
    too_many: 0,
    descriptors: 0,
  };
  /** By reason. */
  readonly leaves: Record<string, number> = Object.fromEntries(REASONS.slice(1).map((reason) => [reason, 0]));
  views = 0;
  connections = 0;
  joins = 0;
  /** Leaves without a word. */
  deaths = 0;
  pulses = 0;
  refreshes = 0;
  /** Updates that did not make a view of their own. */
  coalesced = 0;
  /** Requests and connections that had to wait, because there were too many of their kind. */
  postponed = 0;

  request(op: number, status: number): void {
    const operation = OPERATIONS[op] ?? OPERATIONS[0];
    this.requests[operation] ??= {};
    const byStatus = this.requests[operation];
    const name = STATUSES[status]!;
    byStatus[name] = (byStatus[name] ?? 0) + 1;
  }

  left(reason: number, died: boolean): void {
    const name = REASONS[reason]!;
    this.leaves[name] = (this.leaves[name] ?? 0) + 1;
    if (died) this.deaths++;
  }
}
