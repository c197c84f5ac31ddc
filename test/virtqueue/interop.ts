import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { buildNativeTests, lacking, nativeTest, runToEnd } from '../support/native-build.ts';
import { trafficPlace } from '../support/ring-traffic.ts';

// Every implementation as driver against every implementation as device: ours in TypeScript, ours in C++, and a C program
// on the kernel's <linux/virtio_ring.h> that shares no ring code with either.

interface Run {
  readonly size: number;
  readonly count: number;
  readonly batch: number;
  readonly chained: boolean;
  readonly indirect: boolean;
  readonly events: boolean;
}

const runs: readonly Run[] = [
  { size: 64, count: 3000, batch: 16, chained: false, indirect: false, events: false },
  { size: 8, count: 3000, batch: 5, chained: true, indirect: false, events: false },
  { size: 16, count: 3000, batch: 8, chained: false, indirect: true, events: true },
  { size: 2, count: 1000, batch: 2, chained: true, indirect: true, events: true },
  { size: 32, count: 3000, batch: 32, chained: true, indirect: true, events: true },
];
// The TypeScript queue takes powers of two from 2 on; the format takes any size, and so do the others.
const oddRuns: readonly Run[] = [
  { size: 1, count: 1000, batch: 1, chained: false, indirect: true, events: true },
  { size: 7, count: 3000, batch: 7, chained: true, indirect: true, events: true },
];

const peers: Readonly<Record<string, readonly string[]>> = {
  typescript: [process.execPath, '--import', 'tsx', fileURLToPath(new URL('peer.ts', import.meta.url))],
  'c++': [nativeTest('ring_peer')],
  linux: [nativeTest('linux_ring_peer')],
};

const skip = lacking('make', 'g++', 'gcc', 'flock');
const directory = mkdtempSync(join(tmpdir(), 'ivshmem-interop-'));
t.teardown(() => rmSync(directory, { recursive: true }));
if (!skip) await buildNativeTests('peers');

let seed = 1;
for (const driver of Object.keys(peers)) {
  for (const device of Object.keys(peers)) {
    const typescript = driver === 'typescript' || device === 'typescript';
    t.test(`${driver} driver, ${device} device`, { skip }, async (t) => {
      for (const run of typescript ? runs : [...runs, ...oddRuns]) {
        const file = join(directory, `${driver}-${device}-${++seed}`);
        writeFileSync(file, '');
        truncateSync(file, trafficPlace(run.size).bytes);
        const { size, count, batch, chained, indirect, events } = run;
        const args = [file, size, count, seed, batch, ...[chained, indirect, events].map(Number)].map(String);
        const outcomes = await Promise.all(
          [driver, device].map((name, i) => {
            const [command = '', ...fixed] = peers[name]!;
            return runToEnd(command, [...fixed, i === 0 ? 'driver' : 'device', ...args], 100_000);
          }),
        );
        for (const [i, { code, output }] of outcomes.entries())
          t.equal(code, 0, `${i === 0 ? 'driver' : 'device'}: ${JSON.stringify(run)}: ${output.trim()}`);
        rmSync(file);
      }
    });
  }
}
