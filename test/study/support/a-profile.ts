import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const node = (id: number, functionName: string, url: string, children: readonly number[] = []) => ({
  ...{ id, children },
  callFrame: { functionName, url, lineNumber: 11, scriptId: '1', columnNumber: 0 },
});

/** What V8 writes: 2 ms in `spin`, which `take` called, 1 ms in `take` itself, and 1 ms of Node's. */
export const aProfile = {
  nodes: [
    node(1, '(root)', '', [2, 4]),
    node(2, 'take', 'file:///somewhere/channel.mjs', [3]),
    node(3, 'spin', 'file:///somewhere/channel.mjs'),
    node(4, 'emit', 'node:events'),
  ],
  startTime: 0,
  endTime: 4000,
  samples: [2, 3, 3, 4, 4],
  timeDeltas: [0, 1000, 1000, 1000, 1000],
};

/** The study in `folder`, with a profile of one path. */
export function profiled(folder: string): string {
  const place = join(folder, 'profiles');
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, 'rtt-64-busy.measuring.cpuprofile'), JSON.stringify(aProfile));
  return folder;
}
