import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const TRANSPARENT = new URL('../../../src/transparent/index.ts', import.meta.url).href;
const DEADLINE_MS = 150_000;

export const here = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));

export interface Started {
  readonly child: ChildProcess;
  /** Lines of its standard output. */
  readonly lines: AsyncIterator<string>;
  /** Resolves to its exit code, or the signal that ended it, and what it said on standard error. */
  readonly ended: Promise<{ code: number | string; errors: string }>;
}

export interface How {
  /** Path of the region's socket; null: transparent mode is not used at all. */
  readonly region: string | null;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** What node is told besides, in place of what loads transparent mode. */
  readonly options?: readonly string[];
}

/** Runs a program as a user would: with `--import` of transparent mode, and a region in the environment, or without both. */
export function run(file: string, { region, args = [], env = {}, options }: How): Started {
  const preload = ['--import', 'tsx', ...(region === null ? [] : ['--import', TRANSPARENT])];
  const child = spawn(process.execPath, [...(options ?? preload), file, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      ...(region === null ? {} : { IVSHMEM_SOCKET: region, LOOK: '1' }),
      ...env,
    },
    timeout: DEADLINE_MS,
  });
  let errors = '';
  child.stderr.on('data', (data) => {
    errors += data;
  });
  const ended = once(child, 'close').then(([code, signal]) => ({ code: code ?? signal, errors }));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, lines, ended };
}

/** The rest of its lines. */
export async function rest({ lines }: Started): Promise<string[]> {
  const found: string[] = [];
  for (let next = await lines.next(); !next.done; next = await lines.next()) found.push(next.value);
  return found;
}
