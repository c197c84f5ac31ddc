import { Qmp } from '../src/migrate/qmp.ts';
import { connectSocket } from './connect.ts';

export { Qmp, type QmpEvent } from '../src/migrate/qmp.ts';

/**
 * Connects to the monitor of a QEMU that was just started.
 * @throws Error when nothing answers at `path` before `signal` aborts.
 */
export async function connectQmp(path: string, signal: AbortSignal): Promise<Qmp> {
  return Qmp.over(await connectSocket(path, signal), path, signal);
}
