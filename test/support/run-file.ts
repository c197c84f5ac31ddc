import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { emptyTally, type Tally, tallyFile } from './tally.ts';

export interface FileResult {
  readonly file: string;
  readonly ok: boolean;
  readonly seconds: number;
  readonly tally: Tally;
  /** What it wrote to stdout. */
  readonly output: Buffer;
}

/** The root of a file's tests tells how long it may take (t.setTimeout). */
interface TimeoutMessage {
  readonly setTimeout?: number;
  readonly key?: string;
}

/** A file that was told that its time is over has this long to say what it was doing. */
const LAST_WORDS_MS = 10_000;

/**
 * Runs one file of tests to its end. The same loader as in all the programs that tests start: one source is compiled to one text in all
 * processes, so that V8's counts of it can be added up. Tap's own runner would bring a loader of its own, three times as slow.
 */
export function runFile(
  file: string,
  timeoutSeconds: number,
  env: Readonly<Record<string, string>>,
): Promise<FileResult> {
  const started = performance.now();
  const tally = emptyTally();
  const parser = tallyFile(tally, file);
  const output: Buffer[] = [];
  const key = randomUUID();
  // Tap's agreement with whoever runs a file: see spawn.js and tap.js of @tapjs/core.
  const agreement = { TAP: '1', TAP_CHILD_ID: '1', TAP_CHILD_KEY: key, TAP_TIMEOUT: String(timeoutSeconds) };
  const child = spawn(process.execPath, ['--import', 'tsx', file], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    env: { ...process.env, ...env, ...agreement },
  });
  let timer: NodeJS.Timeout | undefined;
  let timedOut = false;
  const end = (): void => {
    timedOut = true;
    if (child.connected) child.send({ tapAbort: 'timeout', key, child: '1' }, () => {});
    timer = setTimeout(() => child.kill('SIGKILL'), LAST_WORDS_MS);
  };
  const allow = (milliseconds: number): void => {
    clearTimeout(timer);
    if (!timedOut && milliseconds > 0) timer = setTimeout(end, milliseconds);
  };
  allow(timeoutSeconds * 1000);
  child.on('message', (message: TimeoutMessage) => {
    if (message.key === key && message.setTimeout !== undefined) allow(message.setTimeout);
  });
  child.stdout!.on('data', (chunk: Buffer) => {
    output.push(chunk);
    parser.write(chunk);
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      timedOut = true;
      parser.end();
      // A file that dies, or has a wrong plan or no test at all, fails even if no assertion did.
      const some = tally.passed + tally.failed + tally.skipped > 0;
      const whole = some && parser.results?.ok === true && code === 0;
      if (!whole && tally.failed === 0) {
        tally.failed++;
        tally.failures.push(`${file} > (ended with ${signal ?? code}${some ? '' : ', without a test'})`);
      }
      const seconds = (performance.now() - started) / 1000;
      resolve({ file, ok: tally.failed === 0, seconds, tally, output: Buffer.concat(output) });
    });
  });
}
