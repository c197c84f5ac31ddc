import { Asked } from '../../src/study/end/asked.ts';
import type { Reply, Taken } from './commands.ts';

/** How the two processes of a pair are started: words after `node`. */
export interface PairWords {
  readonly answer: readonly string[];
  /** `where` is the first line that the answering side prints. */
  readonly measure: (where: string) => readonly string[];
  /** Of both, beside this process's own. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Two processes, each on a CPU of its own, of which the first answers and the second measures. */
export class Pair {
  readonly #answer: Asked;
  #measure: Asked | null = null;

  private constructor(answer: Asked) {
    this.#answer = answer;
  }

  /** @throws Error with what a process said that did not start. */
  static async start(
    name: string,
    words: PairWords,
    [measuring, answering]: readonly [number, number],
  ): Promise<Pair> {
    const pair = new Pair(new Asked(`the answering side of ${name}`, answering, words.answer, words.env));
    try {
      const where = await pair.#answer.line();
      pair.#measure = new Asked(`the measuring side of ${name}`, measuring, words.measure(where), words.env);
      await pair.#measure.line();
      return pair;
    } catch (error) {
      await pair.stop();
      throw error;
    }
  }

  /** Of what runs. */
  get pids(): number[] {
    return [this.#answer, this.#measure].flatMap((end) => end?.pid ?? []);
  }

  /** @throws Error when there is no answer, or it is an error. */
  async ask(command: object): Promise<Taken> {
    const reply = (await this.#measure!.ask(command)) as Reply;
    if ('error' in reply) throw new Error(reply.error);
    if (!(reply.value.value > 0)) throw new Error('no result');
    return reply.value;
  }

  async stop(): Promise<void> {
    await Promise.all([this.#measure?.stop(), this.#answer.stop()]);
  }
}
