import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { open } from '../../src/index.ts';
import { answerChannels, measureChannel } from '../../src/study/stream/channel.ts';
import { timeBatches } from '../contestants/batches.ts';
import { median } from '../harness/statistics.ts';
import { type Command, type GuestSample, leastBatch } from './orders.ts';
import { answerTcp, measureTcp } from './tcp-path.ts';

// Runs in each of the two guests: `answer` in one, `measure` in the other, which takes a sample for every line on stdin.
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    host: { type: 'string', default: '0.0.0.0' },
    port: { type: 'string', default: '7000' },
  },
});
const { host } = values;
const port = Number(values.port);

/** An emulated processor compiles slowly, and has the compiler's thread beside a loop that never sleeps. */
const warmUp = 2000;

if (positionals[0] === 'answer') await answer();
else await measure();

async function answer(): Promise<void> {
  await answerTcp(host, port);
  const region = await open({ name: 'bench-answer' });
  const served = answerChannels(region);
  process.stdout.write('ready\n');
  await served;
}

/** Takes one sample for each line read, until there are no more. */
async function measure(): Promise<void> {
  const region = await open({ name: 'bench-measure' });
  process.stdout.write('ready\n');
  for await (const line of createInterface({ input: process.stdin })) {
    const { path, ms, ...order } = JSON.parse(line) as Command;
    const side =
      path === 'channel' ? await measureChannel(region, order) : await measureTcp(host, port, order);
    const ns = await timeBatches(ms, side.step, { least: leastBatch(order), warmUp });
    await side.end();
    const batches = order.what === 'rtt' ? ns : ns.map((one) => (order.bytes * 1e9) / one);
    const sample: GuestSample = { value: median(batches), batches };
    process.stdout.write(`${JSON.stringify(sample)}\n`);
  }
  await region.close();
}
