import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { RegionStatus } from '../../../src/host/index.ts';
import { PAGE_BYTES, tablePages } from '../../../src/memory/layout.ts';
import { until } from '../protocol/until.ts';
import { Random } from '../random.ts';
import { ServerProgram } from '../supervised-server.ts';
import { Churn, type ChurnCounts } from './churn.ts';
import { compareViews, type SeenEvent } from './compare-views.ts';
import { type Holdings, holdings, Survivor } from './process.ts';
import { buildPrograms } from './programs.ts';
import type { TablesReport } from './tables.ts';

export interface SoakOptions {
  /** Members that join and leave. */
  readonly cycles: number;
  /** Of the server, by SIGKILL, during the last fifth of the cycles. */
  readonly kills: number;
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
  readonly views: number;
  readonly serverKills: number;
  /** What was not as before, or was harmed: empty, if all is well. */
  readonly faults: string[];
}

/** Where cleaning up is registered: a tap test, or a program's own list. */
export interface Teardown {
  teardown(clean: () => Promise<unknown>): void;
}

const SIZE = 16 << 20;
const SLOTS = 24;
const CHANNELS = 256;
const NAMES = ['stay-1', 'stay-2'] as const;
/** Each survivor asks the other over two channels. */
const PERMANENT = 4;
const PROGRESS_MS = 5000;
const SETTLED_MS = 300;
/** The part of the cycles after which the server is killed now and then: before, one process has all the time to leak. */
const CALM = 0.8;
/** What a process's own memory may grow by: the collector is in no hurry. Far less than a KiB lost in each of 10,000 cycles. */
const ANONYMOUS_KIB = 64 << 10;
const JOURNAL_BYTES = 4 << 20;

interface Report {
  readonly rounds: number;
  readonly members: number;
  readonly tables: TablesReport;
}

/** Lets members come and go beside two that stay, then counts what is left. Throws only when it cannot go on. */
export async function soak(t: Teardown, options: SoakOptions): Promise<SoakResult> {
  const programs = await buildPrograms();
  t.teardown(async () => programs.remove());
  const socket = join(programs.directory, 'soak.sock');
  const shape = ['--size', `${SIZE}`, '--slots', `${SLOTS}`, '--channels', `${CHANNELS}`];
  const server = await ServerProgram.start(socket, '--supervised', ...shape);
  t.teardown(() => server.stop('SIGINT'));
  const survivors = NAMES.map((name, i) => new Survivor(programs.survivor, socket, name, NAMES[1 - i]!));
  t.teardown(() => Promise.all(survivors.map((survivor) => survivor.program.kill())));
  const churn = new Churn(programs.worker, socket, new Random(options.seed));
  t.teardown(() => churn.kill());
  const run = new Soak(options, server, survivors, churn, programs.directory);
  await run.settle();
  await run.phase(Math.floor(options.cycles * (options.kills > 0 ? CALM : 1)), 0);
  if (options.kills > 0) await run.phase(options.cycles, options.kills);
  return run.finish();
}

class Soak {
  readonly #options: SoakOptions;
  readonly #server: ServerProgram;
  readonly #survivors: readonly Survivor[];
  readonly #churn: Churn;
  readonly #directory: string;
  readonly #start = performance.now();
  readonly #faults: string[] = [];
  #kills = 0;
  #quiet: RegionStatus | null = null;
  #before: Record<'server' | 'supervisor', Holdings> | null = null;

  constructor(
    options: SoakOptions,
    server: ServerProgram,
    survivors: readonly Survivor[],
    churn: Churn,
    directory: string,
  ) {
    this.#options = options;
    this.#server = server;
    this.#survivors = survivors;
    this.#churn = churn;
    this.#directory = directory;
  }

  /** Waits until the survivors talk, and notes what there is then. */
  async settle(): Promise<void> {
    await Promise.all(this.#survivors.map((survivor) => survivor.ready));
    for (const survivor of this.#survivors) await survivor.order('ask');
    await until('the permanent channels', async () => (await this.#server.status()).channels === PERMANENT);
    // The server that counts is one that took over, as are those it is compared with.
    if (this.#options.kills > 0) await this.#kill();
    this.#quiet = await this.#server.status();
    await this.#server.logs('the next server is loaded', this.#server.count('the server serves') + 1);
    // The connection that asked for the status closes a turn later.
    await until('descriptors that stay', async () => {
      this.#before = this.#holdings();
      await delay(SETTLED_MS);
      return fds(this.#holdings()) === fds(this.#before);
    });
  }

  /** Members come and go up to `cycles` of all; then everything must be as before. */
  async phase(cycles: number, kills: number): Promise<void> {
    const { counts } = this.#churn;
    const first = counts.joined;
    const stop = (): boolean =>
      counts.joined >= cycles || this.#seconds > this.#options.seconds || this.#wrong();
    const progress = setInterval(() => this.#progress(), PROGRESS_MS);
    const killing = async (): Promise<void> => {
      for (let n = 0; n < kills; n++) {
        const due = first + ((cycles - first) * (n + 1)) / (kills + 1);
        await until('the next kill', () => counts.joined >= due || stop(), this.#options.seconds);
        if (!stop()) await this.#kill();
      }
    };
    try {
      const [end] = await Promise.all([
        this.#churn.lasting(cycles, stop),
        this.#churn.mortal(stop),
        killing(),
      ]);
      this.#same('a process that closed its regions', end.before, end.after);
    } finally {
      clearInterval(progress);
    }
    this.#progress();
    await this.#quieten();
  }

  async finish(): Promise<SoakResult> {
    const faults = this.#faults;
    const reports = await Promise.all(this.#survivors.map((one) => one.order<Report>('report')));
    const [{ tables }] = reports as [Report];
    const stay = NAMES.length;
    this.#same('the shared tables', { channels: PERMANENT, slots: stay + 1, records: stay }, tables);
    for (const { members } of reports) this.#same('a survivor that looks', { members: stay }, { members });
    if (tables.joins < this.#churn.counts.joined + stay)
      faults.push(`${this.#churn.counts.joined} joined, the epochs of the slots count ${tables.joins}`);
    const views = await this.#views();
    for (const survivor of this.#survivors) await survivor.order('stop').catch(() => {});
    for (const survivor of this.#survivors) {
      await survivor.order('close').catch(() => {});
      if (survivor.harmed !== null) faults.push(`${survivor.name} was harmed: ${survivor.harmed}`);
    }
    const empty = { channels: 0, freeHeapBytes: SIZE - tablePages(SLOTS, CHANNELS).heapPage * PAGE_BYTES };
    await until('an empty region', async () => (await this.#server.status()).members.length === 0).catch(
      () => {},
    );
    this.#same('the region without members', { ...empty, members: [] }, { ...(await this.#server.status()) });
    this.#same('the server at its end', { exit: 0 }, { exit: await this.#server.stop('SIGINT') });
    const rounds = reports.reduce((sum, report) => sum + report.rounds, 0);
    const { counts } = this.#churn;
    const seconds = this.#seconds;
    return { ...counts, seconds, clients: tables.joins, rounds, views, serverKills: this.#kills, faults };
  }

  get #seconds(): number {
    return (performance.now() - this.#start) / 1000;
  }

  #wrong(): boolean {
    return this.#server.process.exitCode !== null || this.#survivors.some(({ harmed }) => harmed !== null);
  }

  #progress(): void {
    const { joined, killed, exited } = this.#churn.counts;
    const at = `${this.#seconds.toFixed(0)} s: ${joined} of ${this.#options.cycles} cycles`;
    const deaths = `${killed} processes killed, ${exited} exited, ${this.#kills} servers killed`;
    this.#options.log?.(`${at} (${(joined / this.#seconds).toFixed(0)}/s), ${deaths}`);
  }

  async #kill(): Promise<void> {
    await this.#server.killServer();
    this.#kills++;
  }

  #holdings(): Record<'server' | 'supervisor', Holdings> {
    return { server: holdings(this.#server.serving), supervisor: holdings(this.#server.process.pid!) };
  }

  /** Waits until the region is as it was, and compares what the processes hold. */
  async #quieten(): Promise<void> {
    const quiet = brief(this.#quiet!);
    await until('what the dead held', async () => brief(await this.#server.status()) === quiet).catch(
      async () =>
        this.#faults.push(`not all is back: ${brief(await this.#server.status())}, at first ${quiet}`),
    );
    const before = this.#before!;
    // Descriptors of the last to go are closed a turn of the loop later.
    await until('descriptors', () => fds(this.#holdings()) === fds(before)).catch(() => {});
    const after = this.#holdings();
    this.#options.log?.(`  at first ${JSON.stringify(before)}\n  now      ${JSON.stringify(after)}`);
    for (const who of ['server', 'supervisor'] as const) {
      this.#same(`the ${who}`, { fds: before[who].fds }, after[who]);
      this.#bounded(who, 'journalBytes', before[who], after[who], JOURNAL_BYTES);
      this.#bounded(who, 'anonymousKiB', before[who], after[who], ANONYMOUS_KIB);
    }
  }

  /** Compares what the survivors saw, view by view. Resolves with how many views both saw. */
  async #views(): Promise<number> {
    const seen: Map<number, SeenEvent>[] = [];
    for (const survivor of this.#survivors) {
      const path = join(this.#directory, survivor.name);
      await survivor.order(`views ${path}`);
      seen.push(new Map(JSON.parse(readFileSync(path, 'utf8')) as [number, SeenEvent][]));
    }
    const { common, missed, faults } = compareViews(seen[0]!, seen[1]!);
    this.#faults.push(...faults);
    this.#options.log?.(`  ${common} views seen by both survivors, ${missed} by one of them`);
    return common;
  }

  #same(what: string, expected: object, found: object): void {
    for (const [key, value] of Object.entries(expected)) {
      const is = JSON.stringify(found[key as keyof typeof found]);
      if (is !== JSON.stringify(value))
        this.#faults.push(`${what}: ${key} is ${is}, should be ${JSON.stringify(value)}`);
    }
  }

  #bounded(who: string, key: keyof Holdings, before: Holdings, after: Holdings, most: number): void {
    if (after[key] > before[key] + most)
      this.#faults.push(`the ${who}: ${key} grew from ${before[key]} to ${after[key]}`);
  }
}

const fds = ({ server, supervisor }: Record<'server' | 'supervisor', Holdings>): string =>
  `${server.fds} ${supervisor.fds}`;

const brief = ({ channels, freeHeapBytes, members }: RegionStatus): string =>
  JSON.stringify({ channels, freeHeapBytes, members: members.map(({ name }) => name) });
