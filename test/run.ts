/**
 * Runs everything: lint, types, unit and protocol tests under coverage, then the tests in VMs.
 *   tsx test/run.ts             all stages
 *   tsx test/run.ts unit vm     some of: lint types unit vm
 * Ends with the line "N passed, N failed, N skipped"; the exit status is 1 when something failed, and not only once.
 */
import { spawn } from 'node:child_process';
import { globSync } from 'tinyglobby';
import { createTallyParser, emptyTally, passedAgain, type Tally } from './support/tally.ts';

const tally = emptyTally();
const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** Runs a command to its end; stdout goes to `onOutput`, stderr through. */
function run(
  command: string,
  args: readonly string[],
  onOutput: (chunk: Buffer) => void,
  env: NodeJS.ProcessEnv = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    child.stdout.on('data', onOutput);
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

/** A stage that is one check: its output is shown only when it fails. */
async function check(name: string, command: string, args: readonly string[]): Promise<void> {
  const output: Buffer[] = [];
  const code = await run(command, args, (chunk) => output.push(chunk));
  say(`  ${code === 0 ? 'ok  ' : 'FAIL'} ${name}`);
  if (code === 0) tally.passed++;
  else {
    process.stdout.write(Buffer.concat(output));
    tally.failed++;
    tally.failures.push(name);
  }
}

/** More failing files than this are no accident. */
const MOST_RUN_AGAIN = 3;

/**
 * A stage of tap files. `wrap` is put before the command, as c8 is. A few that fail are run once more, by themselves: the tests are of
 * what happens between processes on processors that may be somebody else's for seconds. What passes then is named at the end as
 * unsteady, with all it printed the first time in the output above: it is to be looked into, and does not stop everybody else.
 */
async function tap(
  files: readonly string[],
  jobs: number,
  timeoutSeconds: number,
  wrap: readonly string[] = [],
): Promise<void> {
  const failed = await tapOnce(tally, files, jobs, timeoutSeconds, wrap);
  if (failed.length === 0 || failed.length > MOST_RUN_AGAIN || !failed.every((file) => files.includes(file)))
    return;
  say(`  again, by itself: ${failed.join(' ')}`);
  for (const file of failed)
    if ((await tapOnce(emptyTally(), [file], 1, timeoutSeconds)).length === 0) passedAgain(tally, file);
}

/** The files that failed. */
async function tapOnce(
  tally: Tally,
  files: readonly string[],
  jobs: number,
  timeoutSeconds: number,
  wrap: readonly string[] = [],
): Promise<string[]> {
  const failed: string[] = [];
  const parser = createTallyParser(tally, (name, ok, seconds) => {
    say(`  ${ok ? 'ok  ' : 'FAIL'} ${name} (${seconds.toFixed(1)} s)`);
    if (!ok) failed.push(name);
  });
  const failuresBefore = tally.failed;
  const command = [
    ...wrap,
    'tap',
    '--disable-coverage',
    '--reporter=tap',
    `--jobs=${jobs}`,
    `--timeout=${timeoutSeconds}`,
    ...files,
  ];
  const raw: Buffer[] = [];
  const code = await run('npx', command, (chunk) => {
    raw.push(chunk);
    parser.write(chunk);
  });
  parser.end();
  if (code === 0 && tally.failed === failuresBefore) return failed;
  process.stdout.write(Buffer.concat(raw));
  // A runner that dies without a failing test (a crash, a time-out, no test at all) is a failure too.
  if (tally.failed === failuresBefore) {
    const name = `${files[0]} ... (the runner ended with ${code})`;
    tally.failed++;
    tally.failures.push(name);
    failed.push(name);
  }
  return failed;
}

const coverage = [
  'c8',
  '--src=src',
  // After source maps were followed: a program that a test bundles counts for its sources, not for itself. What is left is src/.
  '--exclude-after-remap=true',
  ...['.cache', 'test', 'bench', 'examples', 'guest-image', 'qemu', 'scripts'].map(
    (folder) => `--exclude=${folder}/**`,
  ),
  '--reporter=text-summary',
  '--reporter=lcovonly',
  '--reporter=json-summary',
  // Last, and with its value attached: c8 takes a bare flag here to own the word behind it, which is the command.
  '--temp-directory=.cache/c8',
];

const stages: Record<string, () => Promise<void>> = {
  lint: () => check('biome', 'npx', ['biome', 'check', '.']),
  types: () => check('tsc', 'npx', ['tsc', '--noEmit', '-p', 'tsconfig.json']),
  unit: async () => {
    await tap(
      globSync([
        'test/**/*.ts',
        '!test/vm/**',
        '!test/**/support/**',
        '!test/run.ts',
        '!test/**/fixtures/**',
        '!test/**/support.ts',
        '!test/**/peer*.ts',
        '!test/**/*.worker.ts',
      ]),
      2,
      300,
      coverage,
    );
    await check('coverage', 'npx', ['tsx', 'test/support/coverage.ts']);
  },
  vm: () => tap(globSync(['test/vm/**/*.ts', '!test/vm/support/**', '!test/vm/guest/**']), 1, 900),
};

const wanted = process.argv.slice(2);
for (const [name, stage] of Object.entries(stages)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  say(`\n# ${name}`);
  const start = performance.now();
  await stage();
  say(`  (${((performance.now() - start) / 1000).toFixed(0)} s)`);
}

if (tally.skips.length > 0) say(`\nskipped:\n${tally.skips.map((skip) => `  ${skip}`).join('\n')}`);
if (tally.unsteady.length > 0)
  say(`\nunsteady, failed once and not again:\n${tally.unsteady.map((name) => `  ${name}`).join('\n')}`);
if (tally.failures.length > 0)
  say(`\nfailed:\n${tally.failures.map((failure) => `  ${failure}`).join('\n')}`);
say(`\n${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
process.exitCode = tally.failed === 0 ? 0 : 1;
