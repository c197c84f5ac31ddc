import type { Command } from 'commander';

/** `ivshmem study end`: one side of a pair of programs, which `study run` starts. No command for users. */
export function registerEnd(study: Command): void {
  study
    .command('end', { hidden: true })
    .allowUnknownOption()
    .argument('[words...]')
    .action(async (words: string[]) => {
      const { parseEnd } = await import('../study/end/parse.ts');
      const { runEnd } = await import('../study/end/run-end.ts');
      await runEnd(parseEnd(words));
    });
}
