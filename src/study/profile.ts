import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { files } from './results.ts';

/** What is used of a file that V8's profiler writes (`--cpu-prof`). */
const schema = z.object({
  nodes: z.array(
    z.object({
      id: z.int(),
      callFrame: z.object({ functionName: z.string(), url: z.string(), lineNumber: z.int() }),
      children: z.array(z.int()).optional(),
    }),
  ),
  samples: z.array(z.int()),
  timeDeltas: z.array(z.number()),
});

/** A function in its place in a stack, with what it took, microseconds. */
export interface Frame {
  readonly name: string;
  /** `(native)`, `node:net` or `channel.mjs:12`: where the function is. */
  readonly at: string;
  readonly self: number;
  readonly total: number;
  readonly children: readonly Frame[];
}

/** One side of one path under the profiler. */
export interface Profile {
  /** `rtt-64-busy, measuring side`. */
  readonly name: string;
  readonly root: Frame;
}

/** Ends of the names of the files: `rtt-64-busy.measuring.cpuprofile`. */
export const PROFILE_END = '.cpuprofile';

/** The profiles of a study, by name; none where none were taken. What is no profile is left out, for it is beside the samples. */
export function readProfiles(folder: string): Profile[] {
  const place = join(folder, files.profiles);
  let names: string[];
  try {
    names = readdirSync(place);
  } catch {
    return [];
  }
  return names
    .filter((name) => name.endsWith(PROFILE_END))
    .sort()
    .flatMap((name) => {
      const root = parseProfile(readFileSync(join(place, name), 'utf8'));
      const [path, side] = basename(name, PROFILE_END).split('.');
      return root === null ? [] : [{ name: `${path}, ${side ?? 'one'} side`, root }];
    });
}

/** The stacks of a profile; null when the text is none. */
export function parseProfile(text: string): Frame | null {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return null;
  }
  const parsed = schema.safeParse(content);
  if (!parsed.success) return null;
  const { nodes, samples, timeDeltas } = parsed.data;
  const own = new Map<number, number>();
  // A delta is from the sample before, so that it belongs to that one.
  for (const [index, id] of samples.entries())
    own.set(id, (own.get(id) ?? 0) + Math.max(0, timeDeltas[index + 1] ?? 0));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const seen = new Set<number>();
  const frame = (id: number): Frame | null => {
    const node = byId.get(id);
    // Each node has one parent; a file that says otherwise would never end.
    if (node === undefined || seen.has(id)) return null;
    seen.add(id);
    const children = (node.children ?? []).flatMap((child) => frame(child) ?? []);
    const self = own.get(id) ?? 0;
    const { functionName, url, lineNumber } = node.callFrame;
    return {
      ...{ name: functionName === '' ? '(anonymous)' : functionName, at: placeOf(url, lineNumber), self },
      ...{ total: children.reduce((sum, child) => sum + child.total, self), children },
    };
  };
  const [root] = nodes;
  return root === undefined ? null : frame(root.id);
}

function placeOf(url: string, line: number): string {
  if (url === '') return '(native)';
  return url.startsWith('node:') ? url : `${basename(url)}:${line + 1}`;
}

/** Functions by what they took themselves, the most first, whatever called them. */
export function selfTimes(
  root: Frame,
): { readonly name: string; readonly at: string; readonly self: number }[] {
  const sums = new Map<string, { name: string; at: string; self: number }>();
  const visit = ({ name, at, self, children }: Frame): void => {
    const key = `${name} ${at}`;
    const sum = sums.get(key) ?? { name, at, self: 0 };
    sum.self += self;
    sums.set(key, sum);
    children.forEach(visit);
  };
  visit(root);
  return [...sums.values()].filter(({ self }) => self > 0).sort((a, b) => b.self - a.self);
}
