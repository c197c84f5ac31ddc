import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import type { Test } from 'tap';

const ENTRY = new URL('../../../src/transparent/index.ts', import.meta.url);
const ADDON = new URL('../../../native/build/Release/addon.node', import.meta.url);

/** Has programs that ask go on until ENOUGH connections of a thread went over, for a minute at most; says on standard error at the end of each thread what became of its connections. */
const LOOK = `
import { threadId } from 'node:worker_threads';
import { counters } from './transparent.mjs';
const late = Date.now() + 60_000;
globalThis.goOn = () => counters().toSharedMemory < Number(process.env.ENOUGH ?? 0) && Date.now() < late;
process.on('exit', () => process._rawDebug('counters ' + JSON.stringify({ threadId, ...counters() })));
`;

/** Transparent mode as a file that any node can load, and one that loads it and looks. They go with the test. */
export async function bundle(t: Test): Promise<{ transparent: string; looking: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'ivshmem-transparent-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const outfile = join(folder, 'transparent.mjs');
  await build({
    entryPoints: [ENTRY.pathname],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile,
    logLevel: 'error',
  });
  copyFileSync(ADDON, join(folder, 'addon.node'));
  const looking = join(folder, 'look.mjs');
  writeFileSync(looking, LOOK);
  return { transparent: pathToFileURL(outfile).href, looking: pathToFileURL(looking).href };
}

export interface Counted {
  readonly threadId: number;
  readonly connections: number;
  readonly toSharedMemory: number;
  readonly toTcp: number;
  readonly reasons: Readonly<Record<string, number>>;
}

/** What was said at the end of each process and thread. */
export const counted = (errors: string): Counted[] =>
  [...errors.matchAll(/^counters (.*)$/gm)].map(([, json]) => JSON.parse(json!) as Counted);
