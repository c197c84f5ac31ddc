import { z } from 'zod';
import { seats } from './decisions.ts';
import { type Decided, MAX_NODES, NOTHING_DECIDED, type Seat } from './directory.ts';
import type { Comparison, KeyValue } from './etcd-client.ts';
import { decidedSchema } from './static-messages.ts';

/** A host that is there, under `<prefix>hosts/<node>`, with its lease. */
const present = z.strictObject({ name: z.string(), address: z.string(), incarnation: z.int().min(1) });
/** A host that ever was there, under `<prefix>nodes/<node>`, for good. */
const known = z.strictObject({ name: z.string(), incarnation: z.int().min(0) });

/** What etcd had when it was read last. */
export interface Seen {
  readonly decided: Decided;
  /** Of `decided`. */
  readonly revision: number;
  /** Of everything in etcd. */
  readonly at: number;
  readonly present: ReadonlyMap<
    number,
    { name: string; address: string; incarnation: number; revision: number }
  >;
  readonly known: ReadonlyMap<number, { name: string; incarnation: number; revision: number }>;
}

export const NO_LOOK: Seen = {
  ...{ decided: NOTHING_DECIDED, revision: 0, at: 0 },
  ...{ present: new Map(), known: new Map() },
};

/** What is below the prefix. What somebody else wrote there and makes no sense is as good as not there; `decided` stays as it was then. */
export function read(
  { kvs, revision: at }: { readonly kvs: readonly KeyValue[]; readonly revision: number },
  prefix: string,
  last: Seen,
): Seen {
  let { decided, revision } = last;
  const presentHosts = new Map<number, z.output<typeof present> & { revision: number }>();
  const knownHosts = new Map<number, z.output<typeof known> & { revision: number }>();
  for (const { key, value, revision: changed } of kvs) {
    const [kind, number] = key.slice(prefix.length).split('/');
    const node = Number(number);
    const text = parse(value);
    if (kind === 'decided') {
      const { data } = decidedSchema.safeParse(text);
      if (data !== undefined && data.version >= decided.version) [decided, revision] = [data, changed];
    } else if (Number.isInteger(node) && node >= 0 && node < MAX_NODES) {
      const host = kind === 'hosts' ? present.safeParse(text).data : undefined;
      const entry = kind === 'nodes' ? known.safeParse(text).data : undefined;
      if (host !== undefined) presentHosts.set(node, { ...host, revision: changed });
      if (entry !== undefined) knownHosts.set(node, { ...entry, revision: changed });
    }
  }
  return { decided, revision, at, present: presentHosts, known: knownHosts };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Checked by the caller, like everything that is not what it should be.
    return null;
  }
}

/** What is to be decided, and on which conditions, so that the view has who is there; null: nothing, or that is not for this host to see to. */
export function wishOf(
  { decided, present: there }: Seen,
  self: number,
  prefix: string,
): { readonly next: Decided; readonly conditions: readonly Comparison[] } | null {
  const wanted: Seat[] = [...there]
    .map(([node, { incarnation }]) => ({ node, incarnation }))
    .sort((a, b) => a.node - b.node);
  const next = seats(wanted)(decided);
  if (next === decided || !wanted.some(({ node }) => node === self)) return null;
  // A host that is left out here is to be gone, and one that is in is to be there, when this is written.
  const gone = decided.view.seats
    .filter(({ node }) => !there.has(node))
    .map(({ node }) => ({ node, revision: 0 }));
  const here = wanted.map(({ node }) => ({ node, revision: there.get(node)!.revision }));
  const conditions = [...gone, ...here].map(({ node, revision }) => ({
    key: `${prefix}hosts/${node}`,
    revision,
  }));
  return { next, conditions };
}
