import { spawn } from 'node:child_process';
import type { Measurement } from './types.ts';

/** Longest life of one contestant, milliseconds: far above any sample, so that a hang is told from a slow machine. */
const timeLimitMs = 60_000;

/**
 * Runs one contestant in a process group of its own and returns what its last line says.
 * Throws with the end of its stderr when it fails, prints no result, or outlives the limit (its group is killed).
 */
export async function execute(command: readonly string[]): Promise<Measurement> {
  const [program, ...args] = command;
  const child = spawn(program!, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err = (err + text).slice(-2000);
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    killGroup(child.pid);
  }, timeLimitMs);
  const stop = () => killGroup(child.pid);
  process.once('exit', stop);
  try {
    const status = await new Promise<number | string | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(code ?? signal));
    });
    if (late) throw new Error(`no result within ${timeLimitMs / 1000} s`);
    if (status !== 0) throw new Error(`ended with ${status}: ${lastLines(err)}`);
    return parse(out, err);
  } finally {
    clearTimeout(timer);
    process.removeListener('exit', stop);
    // Whatever a failed contestant left behind would disturb every sample after it.
    killGroup(child.pid);
  }
}

function parse(out: string, err: string): Measurement {
  const line = out.trim().split('\n').at(-1) ?? '';
  const result = line.startsWith('{') ? (JSON.parse(line) as Measurement) : undefined;
  if (!result || !(result.value > 0)) throw new Error(`printed no result: ${lastLines(err) || line}`);
  return result;
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-4).join(' | ');
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: the whole group has ended, which is what is wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
