import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Region } from '../../src/index.ts';
import type { Options } from '../contestants/options.ts';
import { openRegion, serverRunning } from '../contestants/ours-region.ts';
import {
  announce,
  announced,
  endPartner,
  endWithParent,
  pinSelf,
  startPartner,
} from '../contestants/pair.ts';

/** Name of the space, and of the service where members exchange messages instead. */
export const NAME = 'bench';

/**
 * One sample: a server, this process on the first CPU and, with two members, a partner on the second, which does `partner` until it is
 * killed. Returns what `measure` gives; everything is gone by then.
 */
export async function sample<T>(
  options: Options,
  members: number,
  measure: (region: Region) => Promise<T>,
): Promise<T> {
  pinSelf(options.cpuA);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bench-dsm-'));
  const socket = path.join(folder, 'socket');
  const server = await serverRunning(socket, 1);
  const region = await openRegion(socket, 'bench-a', 'adaptive');
  const partner = members > 1 ? startPartner(options, socket) : undefined;
  try {
    if (partner !== undefined) await announced(partner);
    return await measure(region);
  } finally {
    if (partner !== undefined) await endPartner(partner);
    const ended = once(server, 'exit');
    server.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The second process of a sample. `ready` is called when it can be counted on. */
export async function partner(
  options: Options,
  work: (region: Region, ready: () => void) => Promise<void>,
): Promise<void> {
  endWithParent();
  const region = await openRegion(options.address, 'bench-b', 'adaptive');
  await work(region, () => announce(NAME));
}
