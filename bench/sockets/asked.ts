import { createInterface } from 'node:readline';
import type { Reply, Taken } from './commands.ts';

/** Says `ready`, answers every line on stdin with one line, and ends with stdin. */
export async function answerLines<T>(take: (command: T) => Promise<Taken>): Promise<never> {
  process.stdout.write('ready\n');
  for await (const line of createInterface({ input: process.stdin })) {
    const reply: Reply = await take(JSON.parse(line) as T).then(
      (value) => ({ value }),
      (error: Error) => ({ error: error.message }),
    );
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
  process.exit(0);
}
