import type { GuestProcess } from '../../qemu/guest-process.ts';
import type { Reply, Taken } from '../sockets/commands.ts';

/** Longest wait for a start and for one sample, milliseconds: far above any, so that a hang is told from emulation. */
const START_MS = 120_000;
const SAMPLE_MS = 120_000;

/** Resolves when a program in a guest has said its first line, and returns it. */
export async function firstLine(process: GuestProcess): Promise<string> {
  const [, line] = await process.waitFor(/^(.*)\n/, START_MS);
  return line!;
}

/** The measuring program in one guest; whatever answers it runs in the other. */
export class GuestPair {
  readonly #measure: GuestProcess;
  /** Lines it has said; the first was `ready`. */
  #lines = 1;

  private constructor(measure: GuestProcess) {
    this.#measure = measure;
  }

  static async start(measure: GuestProcess): Promise<GuestPair> {
    await firstLine(measure);
    return new GuestPair(measure);
  }

  async ask(command: object): Promise<Taken> {
    this.#measure.write(`${JSON.stringify(command)}\n`);
    this.#lines++;
    const [text] = await this.#measure.waitFor(new RegExp(`^(?:.*\\n){${this.#lines}}`), SAMPLE_MS);
    const reply = JSON.parse(text.trimEnd().split('\n').at(-1)!) as Reply;
    if ('error' in reply) throw new Error(reply.error);
    if (!(reply.value.value > 0)) throw new Error('no result');
    return reply.value;
  }
}
