import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Pace, Wanted } from '../../src/study/end/ends.ts';
import { NativeEnds } from '../../src/study/end/native-ends.ts';
import { channel, type Path, sharedMemory } from '../../src/study/end/paths.ts';
import { PROFILE_END } from '../../src/study/profile.ts';
import { files } from '../../src/study/results.ts';
import { ours } from '../core/contestants.ts';
import { outFolder } from '../harness/build.ts';
import { execute } from '../harness/execute.ts';

/** Paths that are far from their floor, or from their target. */
const paths: readonly { readonly name: string; readonly path: Path; readonly wanted: Wanted }[] = [
  { name: 'rtt-64-busy', path: channel, wanted: { what: 'rtt', bytes: 64 } },
  { name: 'rate-64-burst', path: channel, wanted: { what: 'burst', bytes: 64 } },
  { name: 'sockets-rtt-64', path: sharedMemory, wanted: { what: 'rtt', bytes: 64 } },
  { name: 'sockets-64k', path: sharedMemory, wanted: { what: 'feed', bytes: 65_536 } },
];
const pace: Pace = { ms: 800, warmUpMs: 300, leastBytes: 4 << 20 };
const SIDES = ['answering', 'measuring'] as const;

/** Takes what is missing of the profiles of a study, each path for a second or two. Returns what went wrong. */
export async function takeProfiles(
  folder: string,
  cpus: readonly [number, number],
  say: (line: string) => void,
): Promise<string[]> {
  const place = path.join(folder, files.profiles);
  mkdirSync(place, { recursive: true });
  const all = [
    ...paths.map(({ name, path: way, wanted }) => ({
      name,
      run: (into: string) => pair(way, wanted, cpus, into),
    })),
    { name: 'channels-1000', run: (into: string) => channels(cpus, into) },
  ];
  const failures: string[] = [];
  for (const { name, run } of all) {
    if (readdirSync(place).some((file) => file.startsWith(`${name}.`))) continue;
    say(`profile of ${name}`);
    const into = mkdtempSync(path.join(place, '.work-'));
    try {
      await run(into);
      keep(into, place, name);
    } catch (error) {
      failures.push(`no profile of ${name}: ${(error as Error).message}`);
    } finally {
      rmSync(into, { recursive: true, force: true });
    }
  }
  return failures;
}

const profiler = (into: string): string[] => ['--cpu-prof', `--cpu-prof-dir=${into}`];

async function pair(way: Path, wanted: Wanted, cpus: readonly [number, number], into: string): Promise<void> {
  const program = [...profiler(into), path.join(outFolder, 'study-end.mjs')];
  await using ends = await NativeEnds.open({ program, cpus, pace });
  await ends.take(way, wanted);
}

/** The side that measures only: the other one is killed, and a profiler writes at the end. */
async function channels(cpus: readonly [number, number], into: string): Promise<void> {
  const [node, ...words] = ours('channels', 'ours', '--channels', '1000').command;
  const flags = ['--cpu-a', String(cpus[0]), '--cpu-b', String(cpus[1]), '--ms', String(pace.ms)];
  await execute([node!, ...profiler(into), ...words, ...flags]);
}

/** The side that answers was started first. @throws Error when there is no profile. */
function keep(into: string, place: string, name: string): void {
  const found = readdirSync(into)
    .filter((file) => file.endsWith(PROFILE_END))
    .map((file) => path.join(into, file))
    .sort((a, b) => startOf(a) - startOf(b));
  if (found.length === 0) throw new Error('the profiler wrote nothing');
  for (const [index, file] of found.reverse().entries()) {
    const side = [...SIDES].reverse()[index];
    const kept = path.join(place, `${name}.${side}${PROFILE_END}`);
    if (side !== undefined && !existsSync(kept)) renameSync(file, kept);
  }
}

const startOf = (file: string): number =>
  (JSON.parse(readFileSync(file, 'utf8')) as { startTime: number }).startTime;
