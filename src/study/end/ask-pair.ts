import { readUsage, usedBetween } from '../usage.ts';
import type { Reply, Taken } from './commands.ts';
import type { EndResult, Pace, Wanted } from './ends.ts';

/** The two questions to a measuring program, and what the processes used between them. @throws Error with what it answered instead. */
export async function askPair(
  ask: (command: object) => Promise<unknown>,
  pids: () => readonly number[],
  wanted: Wanted,
  pace: Pace,
): Promise<EndResult> {
  takenOf((await ask({ op: 'begin', ...wanted, ...pace })) as Reply);
  const before = readUsage(pids());
  const taken = takenOf((await ask({ op: 'go' })) as Reply);
  const used = usedBetween(before, readUsage(pids()));
  if (taken === null || !(taken.value > 0)) throw new Error('it gave no result');
  return { ...taken, used };
}

function takenOf(reply: Reply): Taken | null {
  if ('error' in reply) throw new Error(reply.error);
  return reply.value;
}
