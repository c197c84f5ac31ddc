import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { SpreadPlace } from '../../../src/dsm/spread/mapping.ts';
import { type Served, serveRegion } from '../../support/busy-region.ts';
import { NodeDouble } from './node-double.ts';

const PROGRAM = fileURLToPath(new URL('./spread-program.ts', import.meta.url));

/** A region with a double of a node in this process. */
export async function serveSpread(
  t: Test,
  { size = 1 << 20, shift = 12 } = {},
): Promise<{ served: Served; node: NodeDouble }> {
  const served = await serveRegion('spread');
  const node = await NodeDouble.start(await served.join('node'), size, shift);
  t.teardown(async () => {
    node.close();
    await served.close();
  });
  return { served, node };
}

/** A member in a process of its own (spread-program.ts), that does what it is told. */
export class SpreadMember {
  readonly child: ChildProcess;
  slot = 0;
  stderr = '';
  readonly exited: Promise<unknown[]>;
  readonly #lines: Interface;
  readonly #answers: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = [];

  static async start(t: Test, socket: string, place: SpreadPlace): Promise<SpreadMember> {
    const member = new SpreadMember(socket, place);
    t.teardown(async () => {
      member.child.kill('SIGKILL');
      await member.exited;
    });
    member.slot = (await member.#answer()) as number;
    return member;
  }

  private constructor(socket: string, place: SpreadPlace) {
    const words = ['--import', 'tsx', '--expose-gc', PROGRAM, socket, JSON.stringify(place)];
    this.child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.exited = once(this.child, 'exit');
    this.child.stderr!.on('data', (data) => {
      this.stderr += data;
    });
    this.child.stdin!.on('error', () => {});
    this.#lines = createInterface(this.child.stdout!);
    this.#lines.on('line', (line) => {
      const { value, error } = JSON.parse(line);
      const answer = this.#answers.shift();
      if (error === undefined) answer?.resolve(value);
      else answer?.reject(Object.assign(new Error(error.message), { code: error.code }));
    });
    void this.exited.then(([code, signal]) => {
      for (const { reject } of this.#answers.splice(0))
        reject(new Error(`the member ended with ${code ?? signal}: ${this.stderr}`));
    });
  }

  /** Runs one of the program's deeds; its value, or its error with `code`. */
  // biome-ignore lint/suspicious/noExplicitAny: what a deed returns is for the test to compare
  run(deed: string, ...args: unknown[]): Promise<any> {
    const answer = this.#answer();
    this.child.stdin!.write(`${JSON.stringify({ deed, args })}\n`);
    return answer;
  }

  #answer(): Promise<unknown> {
    return new Promise((resolve, reject) => this.#answers.push({ resolve, reject }));
  }
}
