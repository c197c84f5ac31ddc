/** The clients of all programs in one process: prints what each saw, and ends by itself. */
import type { Socket } from 'node:net';
import type { Path } from '../../../src/transparent/index.ts';
import { until } from '../../support/protocol/until.ts';
import { programs } from './programs/index.ts';

const ports = JSON.parse(process.argv[2]!) as Record<string, number>;
const only = process.argv[3];
// Where it was preloaded: this is how a test looks at the connections of a program that knows nothing of them.
const looking = process.env.LOOK === '1' ? await import('../../../src/transparent/index.ts') : null;
const pathOf = (socket: Socket): Path | undefined => looking?.pathOf(socket);

for (const [name, { use }] of Object.entries(programs)) {
  if (only !== undefined && only !== name) continue;
  const trace: unknown[] = [];
  const before = looking?.counters().toSharedMemory ?? 0;
  const moved = async (socket: Socket): Promise<void> => {
    if (looking !== null)
      await until(
        `${name} on shared memory, not ${pathOf(socket)?.reason}`,
        () => pathOf(socket)!.path === 'shared-memory',
        60,
      );
  };
  await use({ port: ports[name]!, saw: (...what) => trace.push(what), moved }).catch((error: Error) =>
    trace.push(`failed: ${error.stack}`),
  );
  const moves = (looking?.counters().toSharedMemory ?? 0) - before;
  console.log(JSON.stringify({ name, moves, trace }));
}
