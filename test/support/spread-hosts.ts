import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { EngineEvent } from '../../src/native/hosts-binding.ts';
import type { NodeWords } from './spread-node.ts';

const PROGRAM = fileURLToPath(new URL('spread-node-program.ts', import.meta.url));

type Reply = { number: number; result: unknown; error?: string; failure?: number };

/** A SpreadNode in a process of its own. */
export class SpreadHost {
  readonly child: ChildProcess;
  readonly node: number;
  readonly events: EngineEvent[] = [];
  readonly ready: Promise<unknown>;
  readonly #calls = new Map<number, (reply: Reply) => void>();
  #number = 0;
  #noticed: (() => void)[] = [];

  constructor(words: NodeWords) {
    this.node = words.node;
    this.child = fork(PROGRAM, [JSON.stringify(words)], { execArgv: ['--import', 'tsx'] });
    this.ready = once(this.child, 'message');
    this.child.on('message', (message: Reply | { event: EngineEvent }) => {
      if ('event' in message) {
        this.events.push(message.event);
        for (const notice of this.#noticed.splice(0)) notice();
      } else if ('number' in message) {
        this.#calls.get(message.number)?.(message);
        this.#calls.delete(message.number);
      }
    });
    this.child.on('exit', () => {
      for (const [number, end] of this.#calls) end({ number, result: null, error: 'it has exited' });
    });
  }

  async do<T = unknown>(method: string, ...args: unknown[]): Promise<T> {
    const number = ++this.#number;
    const reply = new Promise<Reply>((resolve) => this.#calls.set(number, resolve));
    this.child.send([number, method, ...args]);
    const { result, error, failure } = await reply;
    if (error !== undefined) throw Object.assign(new Error(error), { failure });
    return result as T;
  }

  /** The first event of this kind, of those that have come and those that will. */
  async event<K extends EngineEvent['kind']>(
    kind: K,
    fits: (event: EngineEvent & { kind: K }) => boolean = () => true,
  ): Promise<EngineEvent & { kind: K }> {
    for (;;) {
      const found = this.events.find((event) => event.kind === kind && fits(event as never));
      if (found !== undefined) return found as EngineEvent & { kind: K };
      if (this.child.exitCode !== null || this.child.signalCode !== null) throw new Error('it has exited');
      await new Promise<void>((resolve) => this.#noticed.push(resolve));
    }
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    if (this.child.connected) this.child.disconnect();
    // What does not end by itself is not to outlive the test.
    const late = setTimeout(() => this.child.kill('SIGKILL'), 10_000);
    await gone;
    clearTimeout(late);
  }

  async kill(): Promise<void> {
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}

/**
 * Connects everybody with everybody; the lower number connects. Names are `node0`, `node1` and so on.
 * @param route the port to connect to instead of a host's own
 */
export async function meet(
  hosts: readonly SpreadHost[],
  route: (port: number) => number | Promise<number> = (port) => port,
): Promise<number[]> {
  await Promise.all(hosts.map((host) => host.ready));
  for (const host of hosts) {
    for (const other of hosts) {
      if (other !== host) await host.do('expect', other.node, `node${other.node}`);
    }
  }
  const ports = await Promise.all(hosts.map((host) => host.do<number>('listen')));
  for (const [i, host] of hosts.entries()) {
    for (const [j, other] of hosts.entries())
      if (j > i) await host.do('connect', other.node, await route(ports[j]!));
  }
  const ups = hosts.flatMap((host) =>
    hosts
      .filter((other) => other !== host)
      .map((other) => host.event('up', ({ node }) => node === other.node)),
  );
  await Promise.all(ups);
  return ports;
}
