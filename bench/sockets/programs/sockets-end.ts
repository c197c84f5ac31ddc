import { once } from 'node:events';
import type net from 'node:net';
import { parseArgs } from 'node:util';
import { answer } from '../../../src/study/stream/answering.ts';
import { measureStream } from '../../../src/study/stream/measuring.ts';
import { type ModuleName, moduleOf, type SocketModule } from '../../../src/study/stream/modules.ts';
import { leastBatch } from '../../../src/study/stream/orders.ts';
import { timeBatches } from '../../contestants/batches.ts';
import { median } from '../../harness/statistics.ts';
import { answerLines } from '../asked.ts';
import type { Command, Taken } from '../commands.ts';
import { measureConnects } from '../connecting.ts';
import { measureStalls } from '../stalling.ts';

/**
 * Both ends of all pairs, the same program whichever module carries it: `answer` listens at `--at` (HOST:PORT or a path) and says where, `measure`
 * connects there and takes a sample for each line on stdin. Both end with stdin.
 */
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    module: { type: 'string', default: 'net' },
    at: { type: 'string', default: '127.0.0.1:0' },
    region: { type: 'string', default: '' },
    addresses: { type: 'string', default: '' },
  },
});
const role = positionals[0] === 'answer' ? 'answer' : 'measure';
const addresses = values.addresses.split(',').filter((one) => one !== '');
const module = await moduleOf(values.module as ModuleName, values.region, `sockets-${role}`, addresses);
const target = targetOf(values.at);

if (role === 'answer') await listen();
else await answerLines((command: Command) => take(module, command));

function targetOf(at: string): net.NetConnectOpts & net.ListenOptions {
  const [, host, port] = /^([\d.]+):(\d+)$/.exec(at) ?? [];
  return host === undefined ? { path: at } : { host, port: Number(port) };
}

async function listen(): Promise<void> {
  process.stdin.on('end', () => process.exit(0)).resume();
  const server = module.createServer({ noDelay: true }, (socket) => answer(module, socket));
  server.listen(target);
  await once(server, 'listening');
  const where = server.address() as string | net.AddressInfo;
  process.stdout.write(`${typeof where === 'string' ? where : `${where.address}:${where.port}`}\n`);
}

async function take(module: SocketModule, command: Command): Promise<Taken> {
  const options = { ...target, noDelay: true };
  if (command.op === 'connect') return measureConnects(module, options, command.ms);
  if (command.op === 'stall') return measureStalls(module, options, command.switches);
  if (command.op === 'load') throw new Error('that is for another program');
  const { what, bytes, ms, warmUpMs, onread, leastBytes } = command;
  const order = { what, bytes };
  const side = await measureStream(module, options, order, onread);
  const first = Math.max(1, Math.min(64, leastBytes / bytes));
  const timing = { least: leastBatch(order, leastBytes), warmUp: warmUpMs, first };
  const ns = await timeBatches(ms, side.step, timing).catch(async (error) => {
    // What went wrong first counts.
    await side.end().catch(() => 0);
    throw error;
  });
  const left = await side.end();
  const batches = what === 'rtt' ? ns : ns.map((one) => (bytes * 1e9) / one);
  return { value: median(batches), batches, ...(left === 0 ? {} : { raw: { left: [left] } }) };
}
