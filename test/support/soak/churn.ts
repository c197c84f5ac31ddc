import type { Random } from '../random.ts';
import { Program } from './process.ts';

/** Members one worker has at a time. */
const AT_ONCE = 4;
/** A mortal worker is ended after up to this many joins. */
const MORTAL_JOINS = 24;

export interface ChurnCounts {
  joined: number;
  /** Left in order. */
  left: number;
  /** Met a server that was just killed, and asked again. */
  retried: number;
  processes: number;
  killed: number;
  /** Ended by process.exit() with all its members open. */
  exited: number;
}

/** What a process has: descriptors, and mappings of memory files. */
interface Owned {
  readonly fds: number;
  readonly maps: number;
}

/** What a worker that was not ended has after its first member and at its end, by its own account. */
export interface WorkerEnd {
  readonly before: Owned;
  readonly after: Owned;
}

/** Members that come and go, in processes: one that lasts, and mortal ones. */
export class Churn {
  readonly counts: ChurnCounts = { joined: 0, left: 0, retried: 0, processes: 0, killed: 0, exited: 0 };
  readonly #path: string;
  readonly #socket: string;
  readonly #random: Random;
  readonly #running = new Set<Program>();
  #stopping = false;

  constructor(path: string, socket: string, random: Random) {
    this.#path = path;
    this.#socket = socket;
    this.#random = random;
  }

  /** A worker that makes `cycles` members and ends by itself. Rejects when it ends in another way. */
  async lasting(cycles: number, stop: () => boolean): Promise<WorkerEnd> {
    const { program, text } = this.#start(`lasting-${this.counts.processes}`, cycles, () => {
      if (stop() && program.running) program.child.stdin!.write('enough\n');
    });
    const status = await program.ended;
    if (status !== 0) throw new Error(`the lasting worker ended with ${status}: ${program.stderr}`);
    return JSON.parse(text().trim().split('\n').at(-1)!) as WorkerEnd;
  }

  /** Starts mortal workers one after the other until told to stop. */
  async mortal(stop: () => boolean): Promise<void> {
    while (!stop() && !this.#stopping) await this.#mortal(`mortal-${this.counts.processes}`);
  }

  async #mortal(name: string): Promise<void> {
    const joins = this.#random.below(MORTAL_JOINS);
    const byExit = this.#random.oneIn(4);
    let joined = 0;
    let ended = false;
    const { program } = this.#start(name, MORTAL_JOINS * 10, (text) => {
      joined += count(text, 'j');
      if (ended || joined <= joins) return;
      ended = true;
      if (byExit) program.child.stdin!.write('exit\n');
      else program.child.kill('SIGKILL');
    });
    const status = await program.ended;
    if (!this.#stopping && status !== (byExit ? 0 : null))
      throw new Error(`the worker ${name} ended with ${status}: ${program.stderr}`);
    if (byExit) this.counts.exited++;
    else this.counts.killed++;
  }

  async kill(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#running].map((program) => program.kill()));
  }

  #start(
    name: string,
    cycles: number,
    onText: (text: string) => void,
  ): { program: Program; text: () => string } {
    let last = '';
    const words = [this.#socket, name, String(this.#random.bits()), String(cycles), String(AT_ONCE)];
    const program = new Program(this.#path, words, (text) => {
      this.counts.joined += count(text, 'j');
      this.counts.left += count(text, 'l');
      this.counts.retried += count(text, 'r');
      // The report at the end is short: the rest need not be kept.
      last = (last + text).slice(-1000);
      onText(text);
    });
    this.counts.processes++;
    this.#running.add(program);
    void program.ended.then(() => this.#running.delete(program));
    return { program, text: () => last };
  }
}

/** Events are single characters, which the JSON line at a worker's end has not. */
function count(text: string, event: string): number {
  return text.split(event).length - 1;
}
