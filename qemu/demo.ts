/**
 * `make demo`: two VMs exchange messages through the ivshmem device, beside TCP over virtio-net between the same two.
 *   tsx qemu/demo.ts [--json FILE] [--verbose]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildPayload } from '../guest-image/payload.ts';
import { type Effort, type Figures, formatFigures } from '../src/demo/figures.ts';
import { createServer } from '../src/host/index.ts';
import { machineLine } from './facts.ts';
import { Bridge } from './network.ts';
import { guestProgram, productFiles } from './product.ts';
import { launchVm, type Vm } from './vm.ts';

// TCP between emulated machines is slow: it gets fewer rounds, not worse ones.
const CHANNEL: Effort = { roundTrips: 2000, batches: 5, messages: 200_000, blocks: 2000 };
const TCP: Effort = { roundTrips: 100, batches: 5, messages: 20_000, blocks: 400 };
const REGION_BYTES = 64 << 20;

const { values } = parseArgs({
  options: { json: { type: 'string' }, verbose: { type: 'boolean', default: false } },
});
const started = performance.now();
const say = (text: string): void =>
  console.log(`[${((performance.now() - started) / 1000).toFixed(0).padStart(3)} s] ${text}`);
const log = (line: string): void => {
  if (values.verbose || !line.includes(' -nodefaults ')) say(line);
};

const directory = mkdtempSync(join(tmpdir(), 'ivshmem-demo-'));
const socket = join(directory, 'region.sock');
const vms: Vm[] = [];
const server = await createServer({ regions: [{ name: 'demo', socket, size: REGION_BYTES }] });
const bridge = await Bridge.create();
try {
  say(`ivshmem server: region "demo", ${REGION_BYTES >> 20} MiB, on ${socket}`);
  const program = fileURLToPath(new URL('guest/demo.ts', import.meta.url));
  const payload = await buildPayload(await productFiles({ demo: program }));
  for (const name of ['a', 'b']) {
    vms.push(
      await launchVm({
        name,
        payload,
        log,
        ivshmem: [{ kind: 'doorbell', server: socket }],
        network: await bridge.attach(),
      }),
    );
  }
  const [a, b] = vms as [Vm, Vm];
  say('booting two VMs ...');
  await Promise.all(vms.map((vm) => vm.ready()));
  say('both are up; ivshmem bind gives the device to the unprivileged user "app"');
  await Promise.all(vms.map((vm) => vm.check('ivshmem bind --user app')));
  const responder = b.spawn(guestProgram('demo', 'respond'), { user: 'app' });
  await responder.waitFor(/ready/);
  say('VM b listens; VM a connects and measures ...');
  const address = '10.77.0.2';
  const words = guestProgram('demo', 'measure', address, JSON.stringify(CHANNEL), JSON.stringify(TCP));
  const figures = JSON.parse(await a.check(words, { user: 'app', timeout: 240_000 })) as Figures[];
  const received = JSON.parse((await responder.waitFor(/\{.*\}/))[0]) as { received: number };
  console.log(`\n${formatFigures(figures)}\n`);
  console.log(
    `VM b received ${received.received.toLocaleString('en')} messages through shared memory; VM a got every echo and report back.`,
  );
  console.log(await machineLine());
  if (values.json) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
} finally {
  await Promise.all(vms.map((vm) => vm.kill()));
  await bridge.close();
  await server.close();
  rmSync(directory, { recursive: true, force: true });
}
say('done; nothing is left running');
