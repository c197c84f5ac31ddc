import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { baseImage } from '../guest-image/base.ts';
import { buildPayload } from '../guest-image/payload.ts';
import { programsImage } from '../guest-image/programs.ts';
import { chooseAccelerator } from './accelerator.ts';
import { AgentClient, type RunOptions, type RunResult } from './agent-client.ts';
import { qemuCommand, shellCommand, vmFiles } from './command.ts';
import { connectSocket } from './connect.ts';
import type { GuestProcess } from './guest-process.ts';
import type { VmOptions } from './options.ts';
import { connectQmp, type Qmp } from './qmp.ts';
import { runDirectory } from './run-directory.ts';

export interface LaunchOptions extends VmOptions {
  /** Image made by `buildPayload`; one with the agent alone unless given. */
  readonly payload?: string;
  /** Debian suite and kernel package of the guest. */
  readonly suite?: string;
  readonly kernel?: string;
  /** Told the full QEMU command before it is started, and when an image has to be built. */
  readonly log?: (line: string) => void;
}

const live = new Set<Vm>();
// A launcher that ends in an orderly way leaves no file; QEMU itself dies with it in any case (setpriv --pdeathsig).
process.on('exit', () => {
  for (const vm of live) vm.remove();
});

/**
 * Starts a VM and returns as soon as QEMU answers; `await vm.ready()` waits for the guest.
 * @throws Error with what QEMU said when it does not start.
 */
export async function launchVm(options: LaunchOptions): Promise<Vm> {
  const { log = () => {}, suite, kernel } = options;
  const image = await baseImage({ suite, kernel, log });
  const payload = options.payload ?? (await buildPayload({}));
  const programs = options.programs ? await programsImage(image, log) : undefined;
  const accelerator = await chooseAccelerator(image);
  const directory = runDirectory();
  const words = qemuCommand(options, { ...image, payload, programs, directory, accelerator });
  log(shellCommand(words));
  const errors = openSync(join(directory, 'qemu.log'), 'w');
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...words], { stdio: ['ignore', errors, errors] });
  closeSync(errors);
  const vm = new Vm(options.name, directory, child, words);
  live.add(vm);
  try {
    await vm.connect();
    return vm;
  } catch (error) {
    const said = vm.messages;
    await vm.kill();
    throw new Error(`cannot start the VM ${options.name}: ${said || (error as Error).message}`, {
      cause: error,
    });
  }
}

/** A running VM. End it with `powerOff()` or `kill()`; nothing of it is left then. */
export class Vm {
  readonly name: string;
  /** The command it was started with. */
  readonly command: readonly string[];
  /** File with all the guest wrote to its console; gone with the VM. */
  readonly console: string;
  readonly directory: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;
  #qmp: Qmp | undefined;
  #agent: AgentClient | undefined;
  /** The agent's port of a VM that waits for a migration: what comes there continues what the source was told. */
  #port: Socket | undefined;

  constructor(name: string, directory: string, child: ChildProcess, words: readonly string[]) {
    this.name = name;
    this.directory = directory;
    this.command = words;
    this.console = vmFiles(directory).console;
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once('exit', (status) => resolve(status));
      child.once('error', () => resolve(null));
    });
    child.unref();
  }

  /** QEMU's process: setpriv and ip replace themselves by it. */
  get pid(): number {
    return this.#child.pid!;
  }

  /** Whether QEMU is still there. */
  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get qmp(): Qmp {
    return this.#qmp!;
  }

  /** What QEMU itself said, which is nothing unless something is wrong. */
  get messages(): string {
    return readText(join(this.directory, 'qemu.log')).trim();
  }

  /** Connects to QMP and to the agent's port; `launchVm` has done it. */
  async connect(): Promise<void> {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(new Error('QEMU opened no QMP socket within 120 s')), 120_000);
    this.#exited.then(() => abort.abort(new Error('QEMU ended')));
    try {
      const files = vmFiles(this.directory);
      this.#qmp = await connectQmp(files.qmp, abort.signal);
      this.#port = await connectSocket(files.agent, abort.signal);
      if (this.command.includes('-incoming')) this.#port.unref();
      else this.#agent = new AgentClient(this.#port);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Resolves when the guest takes commands.
   * @param timeout milliseconds
   * @throws Error with the end of the console when the guest does not come up
   */
  async ready(timeout = 300_000): Promise<this> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${timeout} ms`)), timeout);
    });
    try {
      await Promise.race([this.#agent!.hello(), late]);
      return this;
    } catch (error) {
      const tail = readText(this.console).trim().split('\n').slice(-15).join('\n');
      throw new Error(`the VM ${this.name} is not ready: ${(error as Error).message}\n${tail}`, {
        cause: error,
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs a command in the guest to its end; killed after 180 s unless `timeout` says otherwise. */
  run(command: string | readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.#agent!.spawn(command, { timeout: 180_000, ...options, input: options.input ?? '' }).wait();
  }

  /** Like `run`, but returns the standard output. @throws Error when the command does not succeed. */
  async check(command: string | readonly string[], options: RunOptions = {}): Promise<string> {
    const { status, signal, stdout, stderr } = await this.run(command, options);
    if (status === 0) return stdout;
    throw new Error(`${this.name}: \`${command}\` ended with ${status ?? signal}\n${stdout}${stderr}`);
  }

  /** Starts a command and returns at once. It has no time limit unless `timeout` says otherwise. */
  spawn(command: string | readonly string[], options: RunOptions = {}): GuestProcess {
    return this.#agent!.spawn(command, options);
  }

  /** Writes a file in the guest. */
  put(path: string, content: string | Uint8Array, mode?: number): Promise<void> {
    return this.#agent!.put(path, content, mode);
  }

  /** Resolves with QEMU's exit status, null after a signal. */
  async exited(): Promise<number | null> {
    // The handle counts again while someone waits for it.
    this.#child.ref();
    return await this.#exited;
  }

  /**
   * The guest of `source` was migrated here: its agent, and the programs that were started through it, are this VM's. Ends the source.
   */
  async takeOver(source: Vm): Promise<void> {
    const agent = source.#agent!;
    source.#agent = undefined;
    // What it still has must be read to its end.
    source.#port = undefined;
    const moved = agent.moveTo(this.#port!);
    await source.kill();
    await moved;
    this.#agent = agent;
  }

  /** Has the guest power itself off; kills it when it has not after `timeout` milliseconds. */
  async powerOff(timeout = 20_000): Promise<void> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeout);
    this.spawn('busybox poweroff -f');
    await this.exited();
    clearTimeout(timer);
    this.remove();
  }

  /** SIGKILL, as sudden as a power cut. */
  async kill(): Promise<void> {
    if (this.running) this.#child.kill('SIGKILL');
    if (this.#child.pid !== undefined) await this.exited();
    this.remove();
  }

  /** Kills without waiting and removes the VM's files. */
  remove(): void {
    if (this.running) this.#child.kill('SIGKILL');
    this.#qmp?.close();
    this.#agent?.close();
    this.#port?.destroy();
    rmSync(this.directory, { recursive: true, force: true });
    live.delete(this);
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
