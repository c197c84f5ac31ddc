import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { lacking, runToEnd } from '../support/native-build.ts';

// Searches every interleaving of doorbell.pml, and of its mutants, each of which lacks one step of the protocol.

const model = fileURLToPath(new URL('doorbell.pml', import.meta.url));
const skip = lacking('spin', 'cc');
const LOST = 'assertion violated (consumed==';

/** Generates, compiles and runs the verifier of one variant; its report. */
async function verify(defines: readonly string[], liveness = false): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'ivshmem-model-'));
  const step = async (command: string, args: readonly string[]): Promise<string> => {
    const { code, output } = await runToEnd(command, args, 110_000, directory);
    if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${output}`);
    return output;
  };
  try {
    await step('spin', [
      '-a',
      ...defines.map((name) => `-D${name}`),
      ...(liveness ? ['-DLIVENESS'] : []),
      model,
    ]);
    const kind = liveness ? '-DNFAIR=4' : '-DSAFETY';
    await step('cc', ['-O2', '-w', kind, '-DMEMLIM=4000', '-o', 'pan', 'pan.c']);
    return await step('./pan', ['-m400000', ...(liveness ? ['-a', '-f'] : [])]);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** That the search was whole and found nothing. */
function clean(t: Test, report: string): void {
  t.match(report, /errors: 0\b/, 'no error');
  t.notMatch(report, /max search depth too small|out of memory|Search not completed/, 'the search was whole');
}

const layouts = { 'a pending word each': 'PER_WORD=1', 'one pending word for all': 'PER_WORD=2' };

for (const [name, layout] of Object.entries(layouts)) {
  t.test(`no wake-up is lost: ${name}`, { skip }, async (t) => clean(t, await verify([layout])));
  t.test(`every message is consumed: ${name}`, { skip }, async (t) => clean(t, await verify([layout], true)));
}
t.test('no wake-up is lost: three senders', { skip }, async (t) =>
  clean(t, await verify(['SENDERS=3', 'MESSAGES=1', 'PER_WORD=2'])),
);

const mutants = [
  'NO_SENDER_FENCE',
  'NO_RING_FENCE',
  'NO_RING_RECHECK',
  'NO_SLEEP_FENCE',
  'NO_SLEEP_RECHECK',
  'DOORBELL_FIRST',
  'SUMMARY_FIRST',
  'PENDING_CLEARED_LATE',
  'SUMMARY_CLEARED_LATE',
];
for (const mutant of mutants) {
  t.test(`a wake-up is lost: ${mutant}`, { skip }, async (t) =>
    t.match(await verify([mutant]), LOST, 'spin finds it'),
  );
}
