import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

const directory = fileURLToPath(new URL('../../native/test/', import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** stdout and stderr, as they came. */
  readonly output: string;
}

/** Runs a program to its end, at most `timeoutMs`; killed after that, which shows in `signal`. */
export function runToEnd(
  command: string,
  args: readonly string[],
  timeoutMs: number,
  cwd?: string,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      ...(cwd === undefined ? {} : { cwd }),
    });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, output: Buffer.concat(chunks).toString() }));
  });
}

/** The commands of `names` that this machine lacks, as the reason of a skip; false when none. */
export function lacking(...names: readonly string[]): string | false {
  const missing = names.filter((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0);
  return missing.length > 0 && `not installed: ${missing.join(', ')}`;
}

/**
 * Builds a target of native/test/Makefile. Test files run side by side: one make at a time for those that are linked with the same
 * objects, with all processors, and no two others share an output.
 */
export async function buildNativeTests(target: string): Promise<void> {
  const locks = `${directory}build/locks`;
  mkdirSync(locks, { recursive: true });
  const [, kind = target.replaceAll('/', '-')] = /_(asan|tsan|model)$/.exec(target) ?? [];
  const lock = `${locks}/${kind}`;
  const make = ['make', '--no-print-directory', `--jobs=${availableParallelism()}`, target];
  const { code, output } = await runToEnd('flock', [lock, ...make], 280_000, directory);
  if (code !== 0) throw new Error(`make ${target} failed:\n${output}`);
}

/** The path of a program that buildNativeTests() made. */
export function nativeTest(name: string): string {
  return `${directory}build/${name}`;
}
