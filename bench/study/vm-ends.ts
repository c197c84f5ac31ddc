import type { GuestProcess } from '../../qemu/guest-process.ts';
import { guestProgram } from '../../qemu/product.ts';
import { askPair } from '../../src/study/end/ask-pair.ts';
import type { EndResult, Ends, Pace, Wanted } from '../../src/study/end/ends.ts';
import { endWords, type Path, processesOf } from '../../src/study/end/paths.ts';
import type { EndOptions } from '../../src/study/end/run-end.ts';
import { firstLine } from '../sockets-vm/guest-pair.ts';
import type { Guests } from '../sockets-vm/guests.ts';
import { Tunnel } from '../sockets-vm/tunnel.ts';

/** Longest wait for one answer, milliseconds: far above any, so that a hang is told from emulation. */
const LIMIT_MS = 180_000;
/**
 * What a pair is taught before its first sample: on an emulated processor a round trip of programs that V8 has not compiled yet takes
 * milliseconds, whoever carries it, and it takes some ten thousand until it has.
 */
const lesson = (warmUpMs: number): Pace => ({ ms: 500, warmUpMs, leastBytes: 65_536 });
const FIRST_PORT = 7100;

interface GuestPair {
  readonly ask: (command: object) => Promise<unknown>;
}

/** `ivshmem study end` in two guests: pairs that are made when they are first asked for, and stay for the whole study. */
export class VmEnds implements Ends {
  readonly #guests: Guests;
  readonly #pace: Pace;
  readonly #lesson: Pace;
  readonly #pairs = new Map<string, Promise<GuestPair>>();
  #port = FIRST_PORT;

  /** `lessonMs`: how long a pair is taught before its first sample. */
  constructor(guests: Guests, pace: Pace, lessonMs: number) {
    this.#guests = guests;
    this.#pace = pace;
    this.#lesson = lesson(lessonMs);
  }

  /** The two QEMUs: what a path costs is what the VMs cost. */
  get pids(): readonly number[] {
    return this.#guests.pids;
  }

  async take(path: Path, wanted: Wanted): Promise<EndResult> {
    const key = processesOf(path);
    let pair = this.#pairs.get(key);
    if (pair === undefined) {
      pair = this.#start(path);
      this.#pairs.set(key, pair);
    }
    try {
      const { ask } = await pair;
      return await askPair(ask, () => this.pids, wanted, this.#pace);
    } catch (error) {
      // The programs of a device that is in use cannot be started twice; what failed to start may do so later.
      if (
        await pair.then(
          () => false,
          () => true,
        )
      )
        this.#pairs.delete(key);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #start(path: Path): Promise<GuestPair> {
    const { way, over, wait = 'adaptive' } = path;
    if (over === 'tun') await Tunnel.start(this.#guests);
    const { wire, tun } = this.#guests.addresses;
    const port = this.#port++;
    const region = way === 'net' ? '' : this.#guests.device(way === 'channel' ? 'channels' : 'study');
    const words = (role: EndOptions['role'], at: string): string[] =>
      guestProgram(
        ...(['main', 'study', 'end'] as const),
        ...endWords({ role, way, at: way === 'channel' ? '' : at, region, wait, addresses: [] }),
      );
    const answer = this.#guests.answering.spawn(words('answer', `0.0.0.0:${port}`), { user: 'app' });
    const started = [answer];
    try {
      await firstLine(answer);
      const at = `${over === 'tun' ? tun : wire}:${port}`;
      const measure = this.#guests.measuring.spawn(words('measure', at), { user: 'app' });
      started.push(measure);
      await firstLine(measure);
      const pair = { ask: asker(measure, answer) };
      for (const what of ['rtt', 'feed'] as const)
        await askPair(pair.ask, () => this.pids, { what, bytes: 1024 }, this.#lesson);
      return pair;
    } catch (error) {
      // They hold the device, and would keep it from the next attempt.
      for (const process of started) process.kill('SIGKILL');
      throw error;
    }
  }
}

/** Asks a program in a guest in lines; it has said one, `ready`. @throws Error with what the other side said as well. */
function asker(process: GuestProcess, other: GuestProcess): (command: object) => Promise<unknown> {
  let lines = 1;
  return async (command) => {
    process.write(`${JSON.stringify(command)}\n`);
    lines++;
    const [text] = await process.waitFor(new RegExp(`^(?:.*\\n){${lines}}`), LIMIT_MS);
    const reply = JSON.parse(text.trimEnd().split('\n').at(-1)!) as { error?: string };
    const said = other.stderr.trim();
    if (reply.error === undefined || said === '') return reply;
    return { error: `${reply.error}; the answering side said: ${said.slice(-500)}` };
  };
}
