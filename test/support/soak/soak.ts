import { join } from 'node:path';
import { PAGE_BYTES, tablePages } from '../../../src/memory/layout.ts';
import { ServerProcess, type Teardown } from '../../vm/support/server-process.ts';
import { until } from '../protocol/until.ts';
import { Random } from '../random.ts';
import { Churn, type ChurnCounts } from './churn.ts';
import { type Holdings, holdings, Survivor } from './process.ts';
import { buildPrograms } from './programs.ts';
import type { TablesReport } from './tables.ts';

export interface SoakOptions {
  /** Members that join and leave. */
  readonly cycles: number;
  /** Ends sooner after so many seconds. */
  readonly seconds: number;
  readonly seed: number;
  /** Told how far it is, every few seconds. */
  readonly log?: (line: string) => void;
}

export interface SoakResult extends ChurnCounts {
  readonly seconds: number;
  /** Clients that ever had a slot, as the region's epochs count them. */
  readonly clients: number;
  /** Round trips of the survivors on channels that never ended. */
  readonly rounds: number;
  readonly before: Holdings;
  readonly after: Holdings;
  /** What was not as before, or was harmed. Nothing of it is good. */
  readonly faults: string[];
}

const SIZE = 16 << 20;
const SLOTS = 24;
const CHANNELS = 256;
const NAMES = ['stay-1', 'stay-2'] as const;
/** Each survivor asks the other over two channels. */
const PERMANENT = 4;
const PROGRESS_MS = 5000;
/** What a server's own memory may differ by: the collector is in no hurry. Far less than a KiB lost in each of 10,000 cycles. */
const ANONYMOUS_KIB = 48 << 10;
const JOURNAL_BYTES = 4 << 20;

interface Report {
  readonly rounds: number;
  readonly tables: TablesReport;
}

/** Lets members come and go beside two that stay, then counts what is left. Throws only when it cannot go on. */
export async function soak(t: Teardown, options: SoakOptions): Promise<SoakResult> {
  const { cycles, seed, log = () => {} } = options;
  const start = performance.now();
  const elapsed = (): number => (performance.now() - start) / 1000;
  const faults: string[] = [];
  const programs = await buildPrograms();
  t.teardown(async () => programs.remove());
  const socket = join(programs.directory, 'soak.sock');
  const keys = { slots: SLOTS, channels: CHANNELS };
  const region = { name: 'soak', socket, keys };
  const server = await ServerProcess.start(t, programs.directory, [region], `${SIZE >> 20}M`, {
    program: programs.server,
  });
  const status = async () => (await server.status()).regions[0]!;
  const heapBytes = SIZE - tablePages(SLOTS, CHANNELS).heapPage * PAGE_BYTES;

  const survivors = NAMES.map((name, i) => new Survivor(programs.survivor, socket, name, NAMES[1 - i]!));
  t.teardown(() => Promise.all(survivors.map((survivor) => survivor.program.kill())));
  await Promise.all(survivors.map((survivor) => survivor.ready));
  for (const survivor of survivors) await survivor.order('ask');
  await until('the permanent channels', async () => (await status()).channels === PERMANENT);
  const quiet = await status();
  const before = holdings(server.pid);

  const churn = new Churn(programs.worker, socket, new Random(seed));
  t.teardown(() => churn.kill());
  const { counts } = churn;
  const wrong = (): boolean => !server.running || survivors.some(({ harmed }) => harmed !== null);
  const stop = (): boolean => counts.joined >= cycles || elapsed() > options.seconds || wrong();
  const progress = setInterval(() => {
    const rate = (counts.joined / elapsed()).toFixed(0);
    const { killed, exited } = counts;
    log(
      `${elapsed().toFixed(0)} s: ${counts.joined} of ${cycles} cycles (${rate}/s), ${killed} processes killed, ${exited} exited`,
    );
  }, PROGRESS_MS);
  const churning = Promise.all([churn.lasting(cycles, stop), churn.mortal(stop)]);
  try {
    const [end] = await churning;
    log(`${elapsed().toFixed(1)} s: all have left`);
    if (end.maps > 0) faults.push(`a process that closed its regions has ${end.maps} mappings of them`);
    await until('what the dead held is back', async () => same(await status(), quiet)).catch(async () =>
      faults.push(`not back after all left: ${JSON.stringify(await status())}`),
    );
  } finally {
    clearInterval(progress);
  }
  await until('descriptors', () => holdings(server.pid).fds === before.fds).catch(() => {});
  const after = holdings(server.pid);
  faults.push(...compare(before, after));

  log(`${elapsed().toFixed(1)} s: the server has ${JSON.stringify(after)}`);
  const reports = await Promise.all(survivors.map((survivor) => survivor.order<Report>('report')));
  const [{ tables }] = reports as [Report];
  if (tables.channels !== PERMANENT) faults.push(`the channel table has ${tables.channels} entries taken`);
  if (tables.slots !== NAMES.length + 1) faults.push(`the slot table has ${tables.slots} slots taken`);
  if (tables.joins < counts.joined + NAMES.length)
    faults.push(`${counts.joined} members joined, the slots' epochs count ${tables.joins}`);
  for (const survivor of survivors) await survivor.order('stop').catch(() => {});
  for (const survivor of survivors) {
    await survivor.order('close').catch(() => {});
    if (survivor.harmed !== null) faults.push(`${survivor.name} was harmed: ${survivor.harmed}`);
  }
  await until('an empty region', async () => (await status()).members.length === 0);
  const empty = await status();
  if (empty.channels !== 0 || empty.freeHeapBytes !== heapBytes)
    faults.push(`${heapBytes - empty.freeHeapBytes} bytes and ${empty.channels} channels are lost`);
  if ((await server.stop()) !== 0) faults.push('the server did not stop in order');
  const rounds = reports.reduce((sum, report) => sum + report.rounds, 0);
  return { ...counts, seconds: elapsed(), clients: tables.joins, rounds, before, after, faults };
}

type Status = Awaited<ReturnType<ServerProcess['status']>>['regions'][number];

function same(now: Status, before: Status): boolean {
  const names = ({ members }: Status): string => members.map(({ name }) => name).join();
  return (
    names(now) === names(before) &&
    now.channels === before.channels &&
    now.freeHeapBytes === before.freeHeapBytes
  );
}

function compare(before: Holdings, after: Holdings): string[] {
  const faults: string[] = [];
  if (after.fds !== before.fds) faults.push(`the server has ${after.fds} descriptors, had ${before.fds}`);
  if (after.memfdBytes > before.memfdBytes + JOURNAL_BYTES)
    faults.push(`the server's memory files have ${after.memfdBytes} bytes, had ${before.memfdBytes}`);
  if (after.anonymousKiB > before.anonymousKiB + ANONYMOUS_KIB)
    faults.push(`the server's own memory is ${after.anonymousKiB} KiB, was ${before.anonymousKiB}`);
  return faults;
}
