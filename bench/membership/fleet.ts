import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { bundlePrograms } from '../harness/build.ts';
import { Program } from './program.ts';

/** A process holds several members only where there are more of them than this. */
const MOST_PROCESSES = 16;
/** Slots beyond the members: the server's, the poller's, and members that were killed and whose end is not seen yet. */
const SPARE_SLOTS = 8;

export interface Bundles {
  readonly server: string;
  readonly member: string;
}

export async function bundle(): Promise<Bundles> {
  const programs = new URL('programs/', import.meta.url).pathname;
  const [server, member] = await bundlePrograms(
    ['membership-server', 'membership-member'].map((name) => path.join(programs, `${name}.ts`)),
  );
  return { server: server!, member: member! };
}

/** The names of `count` members over at most 16 processes, as evenly as it goes. */
export function spread(count: number, prefix: string): string[][] {
  const processes = Math.min(count, MOST_PROCESSES);
  const names: string[][] = Array.from({ length: processes }, () => []);
  for (let i = 0; i < count; i++) names[i % processes]!.push(`${prefix}${i}`);
  return names;
}

/** A server and a region of n members: n - 1 that watch, and one that comes and goes. A poller is there besides. */
export class Fleet {
  readonly members: number;
  readonly socket: string;
  readonly #directory: string;
  readonly #bundles: Bundles;
  readonly #programs = new Set<Program>();
  /** Names of the members that watch. */
  watching: string[] = [];
  server!: Program;
  watchers: Program[] = [];
  /** Holds no member between changes. */
  mover!: Program;
  /** Holds the member `poller`. */
  poller!: Program;

  private constructor(members: number, bundles: Bundles) {
    this.members = members;
    this.#bundles = bundles;
    this.#directory = mkdtempSync(path.join(tmpdir(), 'ivshmem-bench-'));
    this.socket = path.join(this.#directory, 'region.sock');
  }

  static async start(members: number, bundles: Bundles): Promise<Fleet> {
    const fleet = new Fleet(members, bundles);
    try {
      await fleet.#start();
      return fleet;
    } catch (error) {
      await fleet.close();
      throw error;
    }
  }

  /** Starts a process without a member. */
  async spare(name: string): Promise<Program> {
    const program = this.#add(Program.start(this.#bundles.member, [this.socket], name));
    await program.ask('ready');
    return program;
  }

  /** Everybody who is part of the region of n members: the server, the watchers and the mover. */
  get processes(): Program[] {
    return [this.server, ...this.watchers, this.mover];
  }

  async close(): Promise<void> {
    await Promise.all([...this.#programs].map((program) => program.kill()));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const slots = this.members + SPARE_SLOTS;
    this.server = this.#add(Program.start(this.#bundles.server, [this.socket, String(slots)], 'server'));
    await this.server.ask('ready');
    const parts = spread(this.members - 1, 'watcher');
    this.watching = parts.flat();
    this.watchers = await Promise.all(parts.map((_, i) => this.spare(`watchers ${i}`)));
    for (const [i, names] of parts.entries())
      for (const name of names) await this.watchers[i]!.ask('join', name);
    for (const watcher of this.watchers) await watcher.ask('watch');
    this.mover = await this.spare('mover');
    this.poller = await this.spare('poller');
    await this.poller.ask('join', 'poller');
  }

  #add(program: Program): Program {
    this.#programs.add(program);
    return program;
  }
}
