import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { binding } from '../../native/binding.ts';
import type { Log } from '../log.ts';
import { Acceptor } from '../sockets/acceptor.ts';
import { Link } from '../sockets/link.ts';
import { DescriptorStore } from './descriptor-store.ts';
import { ServerProcess, WARM } from './standby.ts';

/** A life shorter than this is short; after so many in a row the next one has to wait, longer each time. */
const SHORT_LIFE_MS = 1000;
const SHORT_LIVES = 5;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5000;
/** How long a server may take to end when it is told to. */
const STOP_MS = 5000;
const BACKLOG = 8;

export interface SupervisorOptions {
  /** The server's command line; `--standby @socket` is added. */
  readonly command: readonly [program: string, ...args: string[]];
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
}

/**
 * Keeps a server running: holds its descriptors as systemd's store does, and has a second process loaded that takes over when
 * the first ends, however it ends. It never gives up on a server that has served: members would be lost.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #log: Log;
  readonly #store: DescriptorStore;
  readonly #acceptor: Acceptor;
  readonly #env: NodeJS.ProcessEnv;
  readonly #standbySocket: string;
  readonly #processes = new Map<number, ServerProcess>();
  #active: ServerProcess | null = null;
  #standby: ServerProcess | null = null;
  /** A newer one that shall replace the active when it is warm. */
  #upgrade: ServerProcess | null = null;
  /** In a row, by now. */
  #shortLives = 0;
  #timer: NodeJS.Timeout | null = null;
  #hasServed = false;
  #stopping = false;
  #finished = false;
  readonly #ended: (status: number) => void;
  /** Exit status: 0 when it was told to stop or the server handed its regions over. */
  readonly ended: Promise<number>;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#log = options.log;
    let ended: (status: number) => void = () => {};
    this.ended = new Promise((resolve) => {
      ended = resolve;
    });
    this.#ended = ended;
    const name = `@ivshmem-supervisor-${process.pid}-${randomBytes(8).toString('hex')}`;
    this.#standbySocket = `${name}-standby`;
    this.#env = { ...options.env, NOTIFY_SOCKET: name };
    this.#store = new DescriptorStore(name, (pid) => this.#processes.has(pid), {
      ready: (pid) => this.#ready(pid),
      stopping: () => {},
      failed: (error) => this.#log.error({ err: error }, 'cannot take what the server sends to be kept'),
    });
    const fd = binding.socketListen(this.#standbySocket, BACKLOG);
    this.#acceptor = new Acceptor(
      { fd, on: this.#standbySocket, place: null, close: () => closeSync(fd) },
      (socket) => this.#connected(socket),
      (error) => this.#log.error({ err: error }, 'cannot accept'),
    );
    this.#standby = this.#spawn();
  }

  /** Starts the program anew and has it take over, without anything of it being noticed: an upgrade. */
  restart(): void {
    if (this.#stopping) return;
    this.#log.info('starting the new server');
    this.#upgrade?.kill('SIGKILL');
    this.#upgrade = this.#spawn();
  }

  /** Ends the server for good. The second time at once. */
  stop(): void {
    const again = this.#stopping;
    this.#stopping = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const one of this.#processes.values()) {
      // SIGTERM would leave the region for the next server.
      one.kill(one === this.#active && !again ? 'SIGINT' : 'SIGKILL');
    }
    if (this.#processes.size === 0) this.#finish(0);
    else setTimeout(() => this.#active?.kill('SIGKILL'), STOP_MS).unref();
  }

  #spawn(): ServerProcess {
    const [program, ...args] = this.#options.command;
    const one = new ServerProcess([program, ...args, '--standby', this.#standbySocket], this.#env);
    // Exit, not close: the restart shall not wait for anybody who inherited its output.
    one.process.once('exit', (code, signal) => this.#exited(one, code, signal));
    one.process.once('error', (error) => {
      this.#log.error({ err: error }, 'cannot start the server');
      this.#exited(one, null, null);
    });
    if (one.process.pid !== undefined) this.#processes.set(one.pid, one);
    return one;
  }

  #connected(socket: number): void {
    const one = this.#processes.get(binding.socketCredentials(socket).pid);
    if (one === undefined) {
      closeSync(socket);
      return;
    }
    one.attach(
      new Link(socket, {
        message: (value, fd) => {
          if (fd >= 0) closeSync(fd);
          if (value === WARM) this.#warm(one);
        },
        end: () => {},
      }),
    );
  }

  #warm(one: ServerProcess): void {
    one.warm = true;
    this.#log.info({ pid: one.pid }, 'the next server is loaded');
    if (one === this.#upgrade) {
      this.#upgrade = null;
      this.#standby?.kill('SIGKILL');
      this.#standby = one;
      // It exits and leaves everything to the standby.
      this.#active?.kill('SIGTERM');
    }
    this.#next();
  }

  /** Gives the word, when somebody is wanted and somebody is there. */
  #next(): void {
    if (this.#active !== null || this.#stopping || this.#timer !== null) return;
    const one = this.#standby;
    if (one === null || !one.warm) return;
    this.#standby = null;
    this.#active = one;
    this.#store.drain();
    one.serve(this.#store.kept);
  }

  #ready(pid: number): void {
    const one = this.#processes.get(pid);
    if (one === undefined || one !== this.#active) return;
    one.ready = true;
    const milliseconds = Math.round(performance.now() - one.since!);
    this.#log.info({ pid, milliseconds, again: this.#hasServed }, 'the server serves');
    this.#hasServed = true;
    this.#standby ??= this.#spawn();
  }

  #exited(one: ServerProcess, code: number | null, signal: NodeJS.Signals | null): void {
    // What it sent before it died comes before what follows.
    this.#store.drain();
    this.#processes.delete(one.pid);
    one.close();
    const about = { pid: one.pid, code, signal };
    if (this.#stopping) {
      if (this.#processes.size === 0) this.#finish(0);
      return;
    }
    if (one === this.#upgrade) {
      this.#upgrade = null;
      this.#log.error(about, 'the new server does not start; the old one goes on');
    } else if (one === this.#standby) {
      this.#standby = null;
      if (!this.#hasServed) this.#finish(code ?? 1);
      else {
        this.#log.error(about, 'the server on standby ended');
        this.#later(false, () => {
          this.#standby ??= this.#spawn();
        });
      }
    } else if (one === this.#active) this.#activeEnded(one, about);
  }

  #activeEnded(one: ServerProcess, about: { code: number | null }): void {
    this.#active = null;
    if (about.code === 0 && this.#store.kept.size === 0) {
      this.#log.info(about, 'the server has ended and left nothing');
      this.stop();
      return;
    }
    if (!this.#hasServed) {
      this.#finish(about.code ?? 1);
      return;
    }
    this.#log.warn(about, 'the server ended; the next takes over');
    this.#standby ??= this.#spawn();
    this.#later(one.ready && performance.now() - one.since! >= SHORT_LIFE_MS, () => this.#next());
  }

  /** Does it now, or when too many have died too soon after a while. */
  #later(lived: boolean, action: () => void): void {
    this.#shortLives = lived ? 0 : this.#shortLives + 1;
    if (this.#shortLives <= SHORT_LIVES) {
      action();
      return;
    }
    const milliseconds = Math.min(
      LONGEST_DELAY_MS,
      FIRST_DELAY_MS * 2 ** (this.#shortLives - SHORT_LIVES - 1),
    );
    this.#log.warn({ milliseconds }, 'servers end soon after they start; waiting before the next');
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      action();
      this.#next();
    }, milliseconds);
  }

  #finish(status: number): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#stopping = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const one of this.#processes.values()) one.kill('SIGKILL');
    this.#acceptor.close();
    this.#store.close();
    this.#ended(status);
  }
}
