/**
 * Runs everything: lint, types, unit and protocol tests under coverage, then the tests in VMs.
 *   tsx test/run.ts             all stages
 *   tsx test/run.ts unit vm     some of: lint types unit vm
 *   tsx test/run.ts test/cli/   a folder, or one file, without coverage
 * Ends with the line "N passed, N failed, N skipped"; the exit status is 1 when something failed, and not only once.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { globSync } from 'tinyglobby';
import { type FileResult, runFile } from './support/run-file.ts';
import { HEAVY_VMS, LONG, MOSTLY_WAITING, split } from './support/schedule.ts';
import { add, emptyTally, passedAgain } from './support/tally.ts';

const tally = emptyTally();
const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** Begins a check. What this returns waits for its end and reports it, with its output only when it failed. */
function begin(name: string, ...words: readonly string[]): () => Promise<void> {
  const child = spawn('npx', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const output: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  const ended = once(child, 'close') as Promise<[code: number | null]>;
  return async () => {
    const [code] = await ended;
    say(`  ${code === 0 ? 'ok  ' : 'FAIL'} ${name}`);
    if (code === 0) tally.passed++;
    else {
      process.stdout.write(Buffer.concat(output));
      tally.failed++;
      tally.failures.push(name);
    }
  };
}

/** More failing files than this are no accident. */
const MOST_RUN_AGAIN = 3;

/** What runs side by side, one file of each lane at a time: a lane takes from the first of its queues that is not empty. */
type Lanes = readonly (readonly string[][])[];

/**
 * A stage of files of tests. A few that fail are run once more, by themselves: the tests are of what happens between processes on
 * processors that may be somebody else's for seconds. What passes then is named at the end as unsteady, with all it printed the first
 * time in the output above: it is to be looked into, and does not stop everybody else.
 */
async function files(
  lanes: Lanes,
  timeoutSeconds: number,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const failed: string[] = [];
  const work = async (queues: readonly string[][]): Promise<void> => {
    const next = () => queues.find(({ length }) => length > 0)?.shift();
    for (let file = next(); file !== undefined; file = next()) {
      const result = await runFile(file, timeoutSeconds, env);
      report(result);
      add(tally, result.tally);
      if (!result.ok) failed.push(file);
    }
  };
  await Promise.all(lanes.map(work));
  if (failed.length === 0 || failed.length > MOST_RUN_AGAIN) return;
  say(`  again, by itself: ${failed.join(' ')}`);
  for (const file of failed) {
    const result = await runFile(file, timeoutSeconds, env);
    report(result);
    if (result.ok) passedAgain(tally, file);
  }
}

function report({ file, ok, seconds, output }: FileResult): void {
  say(`  ${ok ? 'ok  ' : 'FAIL'} ${file} (${seconds.toFixed(1)} s)`);
  if (!ok) process.stdout.write(output);
}

/** Where the unit tests, and all programs they start, leave V8's counts of what was run. */
const COUNTS = '.cache/c8';
const UNIT_SECONDS = 300;
const VM_SECONDS = 900;

const unitFiles = globSync([
  'test/**/*.ts',
  '!test/vm/**',
  '!test/**/support/**',
  '!test/run.ts',
  '!test/**/fixtures/**',
  '!test/**/support.ts',
  '!test/**/peer*.ts',
  '!test/**/*.worker.ts',
]).sort();
const vmFiles = globSync(['test/vm/**/*.ts', '!test/vm/support/**', '!test/vm/guest/**']).sort();

/** Two files at a time, and beside them one that mostly waits. */
function unitLanes(names: readonly string[]): Lanes {
  const [waiting, others] = split(names, MOSTLY_WAITING);
  const working = split(others, LONG).flat();
  return [[working, waiting], [working, waiting], [waiting]];
}

/** Two files at a time, never two of those that are heavy: emulated VMs mostly wait for each other, and for programs to start. */
function vmLanes(names: readonly string[]): Lanes {
  const [heavy, others] = split(names, HEAVY_VMS);
  const light = split(others, LONG).flat();
  return [[heavy, light], [light]];
}

const wanted = process.argv.slice(2);
const isWanted = (stage: string): boolean => wanted.length === 0 || wanted.includes(stage);
// What one processor is enough for runs beside what comes before: types beside the lint, images (which only root can build) until VMs
// want them, and counts are added up beside the VMs.
const types = isWanted('types') ? begin('tsc', 'tsc', '--noEmit', '-p', 'tsconfig.json') : undefined;
const root = process.getuid?.() === 0;
const images = isWanted('vm') && root ? begin('images', 'tsx', 'test/support/images.ts') : undefined;
let coverage: (() => Promise<void>) | undefined;

const stages: Record<string, () => Promise<void>> = {
  lint: () => begin('biome', 'biome', 'check', '.')(),
  types: async () => types?.(),
  unit: async () => {
    rmSync(COUNTS, { recursive: true, force: true });
    await files(unitLanes(unitFiles), UNIT_SECONDS, { NODE_V8_COVERAGE: resolve(COUNTS) });
    coverage = begin('coverage', 'tsx', 'test/support/coverage.ts', COUNTS);
  },
  vm: async () => {
    await images?.();
    await files(vmLanes(vmFiles), VM_SECONDS);
  },
};

/** The files of tests below some paths, without coverage. */
async function below(paths: readonly string[]): Promise<void> {
  const named = (file: string): boolean =>
    paths.some((path) => `${file}/`.startsWith(`${relative('.', path)}/`));
  await files(unitLanes(unitFiles.filter(named)), UNIT_SECONDS);
  await files(vmLanes(vmFiles.filter(named)), VM_SECONDS);
  if (tally.passed + tally.failed + tally.skipped > 0) return;
  tally.failed++;
  tally.failures.push(`no tests in ${paths.join(' ')}`);
}

const paths = wanted.filter((name) => !Object.hasOwn(stages, name));
for (const [name, stage] of Object.entries(stages)) {
  if (!isWanted(name)) continue;
  say(`\n# ${name}`);
  const start = performance.now();
  await stage();
  say(`  (${((performance.now() - start) / 1000).toFixed(0)} s)`);
}
if (paths.length > 0) await below(paths);
await coverage?.();

if (tally.skips.length > 0) say(`\nskipped:\n${tally.skips.map((skip) => `  ${skip}`).join('\n')}`);
if (tally.unsteady.length > 0)
  say(`\nunsteady, failed once and not again:\n${tally.unsteady.map((name) => `  ${name}`).join('\n')}`);
if (tally.failures.length > 0)
  say(`\nfailed:\n${tally.failures.map((failure) => `  ${failure}`).join('\n')}`);
say(`\n${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
process.exitCode = tally.failed === 0 ? 0 : 1;
