import { parseArgs } from 'node:util';
import { open } from '../../src/index.ts';
import { timeBatches } from '../contestants/batches.ts';
import { median, randomSource, shuffled } from '../harness/statistics.ts';
import { answerChannels, measureChannel } from './channel-path.ts';
import { type GuestSample, orders, type Path, rowId } from './orders.ts';
import { answerTcp, measureTcp } from './tcp-path.ts';

// Runs in each of the two guests: `answer` in one, `measure` in the other, where every sample is one line on stdout.
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    host: { type: 'string', default: '0.0.0.0' },
    port: { type: 'string', default: '7000' },
    rounds: { type: 'string', default: '5' },
    ms: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
  },
});
const { host } = values;
const port = Number(values.port);

if (positionals[0] === 'answer') await answer();
else await measure();

async function answer(): Promise<void> {
  await answerTcp(host, port);
  const region = await open({ name: 'bench-answer' });
  const served = answerChannels(region);
  process.stdout.write('ready\n');
  await served;
}

async function measure(): Promise<void> {
  const region = await open({ name: 'bench-measure' });
  const random = randomSource(Number(values.seed));
  const paths: readonly Path[] = ['channel', 'tcp'];
  const samples = orders.flatMap((order) => paths.map((path) => ({ order, path })));
  for (let round = 1; round <= Number(values.rounds); round++) {
    for (const { order, path } of shuffled(samples, random)) {
      const side =
        path === 'channel' ? await measureChannel(region, order) : await measureTcp(host, port, order);
      const ns = await timeBatches(Number(values.ms), side.step);
      await side.end();
      const batches = order.what === 'rtt' ? ns : ns.map((one) => (order.bytes * 1e9) / one);
      const sample: GuestSample = { id: rowId(order), path, round, value: median(batches), batches };
      process.stdout.write(`${JSON.stringify(sample)}\n`);
    }
  }
  await region.close();
}
