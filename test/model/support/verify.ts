import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { runToEnd } from '../../support/native-build.ts';

/** Generates, compiles and runs the verifier of one variant of a model; its report. */
export const verify = (model: string, defines: readonly string[], liveness = false): Promise<string> =>
  search(model, defines, liveness, '-O2');

/** The same of a mutant: a search that ends early takes less time than it takes to make it fast. */
export const refute = (model: string, defines: readonly string[]): Promise<string> =>
  search(model, defines, false, '-O0');

async function search(
  model: string,
  defines: readonly string[],
  liveness: boolean,
  optimization: string,
): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'ivshmem-model-'));
  const step = async (command: string, args: readonly string[], ms: number): Promise<string> => {
    const { code, output } = await runToEnd(command, args, ms, directory);
    if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${output}`);
    return output;
  };
  try {
    const names = [...defines, ...(liveness ? ['LIVENESS'] : [])];
    await step('spin', ['-a', ...names.map((name) => `-D${name}`), model], 60_000);
    const kind = liveness ? '-DNFAIR=4' : '-DSAFETY';
    await step('cc', [optimization, '-w', kind, '-DMEMLIM=4000', '-o', 'pan', 'pan.c'], 110_000);
    return await step('./pan', ['-m400000', ...(liveness ? ['-a', '-f'] : [])], 200_000);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** That the search was whole and found nothing. */
export function clean(t: Test, report: string): void {
  t.match(report, /errors: 0\b/, 'no error');
  t.notMatch(report, /max search depth too small|out of memory|Search not completed/, 'the search was whole');
}
