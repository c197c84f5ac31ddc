import type { Answer, Request } from '../program.ts';

/** Answers requests of the process that started this one, and ends with it. Keep it the only user of the IPC channel. */
export function serve(handlers: Readonly<Record<string, (argument: never) => unknown>>): void {
  process.on('disconnect', () => process.exit(0));
  process.on('message', async ({ op, argument }: Request) => {
    process.send!(await answer(handlers[op], argument));
  });
}

async function answer(
  handler: ((argument: never) => unknown) | undefined,
  argument: unknown,
): Promise<Answer> {
  try {
    if (handler === undefined) throw new Error('there is no such operation');
    return { value: (await handler(argument as never)) ?? null };
  } catch (error) {
    return { error: (error as Error).stack ?? String(error) };
  }
}
