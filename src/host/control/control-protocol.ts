import { z } from 'zod';
import { SPACE_NAME_BYTES } from '../../memory/layout.ts';
import type { MemberReport, MembersReport, RegionSample, SpacesReport } from '../../observe/sample.ts';
import type { RemovedSpace } from './control-desk.ts';
import type { RegionStatus } from './status.ts';

export type { EventReport, MembersReport } from '../../observe/sample.ts';
export { controlPath } from './control-path.ts';

/** The control socket of a region: one JSON object per line each way (docs/server.md, "Control socket"). */

/** The longest an answer to `drain` may wait, milliseconds. */
export const MOST_DRAIN_MS = 600_000;

/** A slot or a name; of those that cannot be, nobody is found. */
const member = z.union([z.int().min(0), z.string().min(1)]);

export const requestSchema = z.discriminatedUnion('op', [
  z.strictObject({ op: z.literal('status') }),
  z.strictObject({ op: z.literal('members') }),
  z.strictObject({ op: z.literal('watch') }),
  z.strictObject({ op: z.literal('sample') }),
  /** By name, or by slot. */
  z.strictObject({ op: z.literal('evict'), member }),
  /** Answered when it has no channels any more, or after `ms`. `migrates`: it is about to be unplugged, to go on elsewhere. */
  z.strictObject({
    op: z.literal('drain'),
    member,
    migrates: z.boolean().optional(),
    ms: z.int().min(0).max(MOST_DRAIN_MS).optional(),
  }),
  /** It stays after all. */
  z.strictObject({ op: z.literal('undrain'), member }),
  z.strictObject({ op: z.literal('spaces') }),
  /** It goes with its last holder. `force`: a spread one, taken from all who have it open. */
  z.strictObject({
    op: z.literal('remove-space'),
    space: z.string().min(1).max(SPACE_NAME_BYTES),
    force: z.boolean().optional(),
  }),
  /** What else it says is between two servers. */
  z.looseObject({ op: z.literal('handover') }),
]);
export type ControlRequest = z.output<typeof requestSchema>;

export type MembersAnswer = MembersReport;
export type StatusAnswer = { readonly status: RegionStatus };
export type SpacesAnswer = SpacesReport;
export type RemoveSpaceAnswer = RemovedSpace;
export type SampleAnswer = { readonly sample: RegionSample };
export type EvictAnswer = { readonly member: MemberReport };
/** As it was; `channels` it still had at the end. */
export type DrainAnswer = { readonly member: MemberReport; readonly channels: number };

export interface Failure {
  readonly ok: false;
  readonly code: string;
  readonly message: string;
}
export type Answer<T> = ({ readonly ok: true } & T) | Failure;
