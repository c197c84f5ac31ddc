/**
 * `make demo`: two VMs exchange messages through the ivshmem device, beside TCP over virtio-net between the same two.
 *   tsx qemu/demo.ts [--json FILE] [--verbose]
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Effort, type Figures, formatFigures } from '../src/demo/figures.ts';
import { machineLine } from './facts.ts';
import { launchPair } from './pair.ts';

// TCP between emulated machines is slow: it gets fewer rounds, not worse ones.
const CHANNEL: Effort = { roundTrips: 20_000, batches: 7, messages: 1_000_000, blocks: 10_000 };
const TCP: Effort = { roundTrips: 100, batches: 5, messages: 20_000, blocks: 400 };

const { values } = parseArgs({
  options: { json: { type: 'string' }, verbose: { type: 'boolean', default: false } },
});
const started = performance.now();
const say = (text: string): void =>
  console.log(`[${((performance.now() - started) / 1000).toFixed(0).padStart(3)} s] ${text}`);
const log = (line: string): void => {
  if (values.verbose || !line.includes(' -nodefaults ')) say(line);
};

const program = fileURLToPath(new URL('guest/demo.ts', import.meta.url));
const pair = await launchPair({ region: 'demo', regionBytes: 64 << 20, program, say, log });
try {
  const { a, b, addressOfB } = pair;
  say('booting two VMs; "ivshmem bind" in each then gives the device to the unprivileged user "app" ...');
  const [measurer, responder] = await Promise.all([
    pair.start(a, 'measure', addressOfB, JSON.stringify(CHANNEL), JSON.stringify(TCP)),
    pair.start(b, 'respond'),
  ]);
  say('both are up and have their device');
  await Promise.all([measurer, responder].map((child) => child.waitFor(/ready\n/)));
  say('VM b listens; VM a connects and measures ...');
  measurer.write('go\n');
  const figures = JSON.parse((await measurer.waitFor(/^\[.*\]$/m, 240_000))[0]) as Figures[];
  const received = JSON.parse((await responder.waitFor(/\{.*\}/))[0]) as { received: number };
  console.log(`\n${formatFigures(figures)}\n`);
  console.log(
    `VM b received ${received.received.toLocaleString('en')} messages through shared memory; VM a got every echo and report back.`,
  );
  console.log(await machineLine());
  if (values.json) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
} finally {
  await pair.close();
}
say('done; nothing is left running');
