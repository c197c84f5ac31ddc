import { z } from 'zod';
import { CONSISTENCIES, MOST_REPLICAS, SPACE_NAME_BYTES } from '../../memory/layout.ts';
import { type Decided, MAX_NODES } from './directory.ts';

/** What hosts of a static list tell each other. Who sent it is known from its certificate. */

const count = z.int().min(0);
const node = z
  .int()
  .min(0)
  .max(MAX_NODES - 1);
const nodes = z.array(node).max(MAX_NODES);
const view = z.strictObject({
  epoch: count,
  seats: z.array(z.strictObject({ node, incarnation: count.min(1) })).max(MAX_NODES),
});

const space = z.strictObject({
  id: count.min(1),
  region: z.string(),
  name: z.string().min(1).max(SPACE_NAME_BYTES),
  bytes: count.min(1),
  pageShift: z.int().min(12).max(21),
  // What was decided by hosts that knew of one kind only does not say it.
  consistency: z.enum(CONSISTENCIES).default('sequential'),
  replicas: count.min(1).max(MOST_REPLICAS).default(1),
  persistent: z.boolean(),
  maker: z.string(),
  access: z.array(z.string()).max(MAX_NODES).nullable(),
  formed: view,
  ready: nodes,
  users: nodes,
  failed: z.string().nullable(),
});

export const decidedSchema: z.ZodType<Decided> = z.strictObject({
  version: count,
  view,
  spaces: z.array(space),
  nextSpace: count.min(1),
});

export const messageSchema = z.discriminatedUnion('kind', [
  /** A sign of life that asks for a lease from `sent` on, by the sender's clock. */
  z.strictObject({
    kind: z.literal('beat'),
    incarnation: count.min(1),
    sent: z.number(),
    hears: nodes,
    version: count,
  }),
  /** The lease is granted to who asked at `sent`. */
  z.strictObject({ kind: z.literal('grant'), incarnation: count, sent: z.number() }),
  /** Nothing of this incarnation is mapped any more, and it has ended; and the answer to that. */
  z.strictObject({ kind: z.literal('leave'), incarnation: count.min(1) }),
  z.strictObject({ kind: z.literal('left') }),
  z.strictObject({ kind: z.literal('prepare'), ballot: count }),
  z.strictObject({
    kind: z.literal('promise'),
    ballot: count,
    accepted: count,
    value: decidedSchema,
  }),
  z.strictObject({ kind: z.literal('accept'), ballot: count, value: decidedSchema }),
  z.strictObject({ kind: z.literal('accepted'), ballot: count }),
  z.strictObject({
    kind: z.literal('refuse'),
    ballot: count,
    promised: count,
    why: z.enum(['ballot', 'lease']),
  }),
  z.strictObject({ kind: z.literal('decided'), value: decidedSchema }),
]);

export type StaticMessage = z.output<typeof messageSchema>;
