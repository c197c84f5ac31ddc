import { type ChildProcess, spawn } from 'node:child_process';
import { IvshmemError } from '../errors/index.ts';
import { MEMBER_W, SERVER_SLOT } from '../memory/layout.ts';
import { REASON_CRASHED } from '../memory/membership.ts';
import { binding } from '../native/binding.ts';
import { guardianProgram } from '../native/guardian-program.ts';
import type { Life } from './backend.ts';
import { doorbellValue } from './registers.ts';

/** Where in which open file a BAR starts. */
export interface BarFile {
  readonly fd: number;
  /** Bytes. */
  readonly offset: number;
}

/** What a guardian needs of a device. */
export interface GuardedBars {
  readonly memory: BarFile;
  /** Byte offset of the Doorbell register. */
  readonly doorbell: BarFile;
}

const NOTIFY_VECTOR = 0;
/** It reads one byte and exits. A device that is being reset makes it wait for the end of that (native/guardian, kStores). */
const PATIENCE_MS = 3000;
const GOODBYE = 'g';

/**
 * A small process (native/guardian) that says of this one that it died: it sleeps until the socket to it closes, which the kernel
 * does however this process ends, and then writes the obituary and rings the server. docs/decisions/guardian.md.
 *
 * It holds the device open as long as it lives, so whoever gives the device back ends it first. It neither keeps this process
 * alive nor leaves a zombie (libuv reaps it).
 */
export class Guardian {
  readonly #on: string;
  readonly #bars: () => GuardedBars;
  readonly #program: string | undefined;
  #child: ChildProcess | undefined;
  #life: Life | undefined;
  #startedAgain = false;

  /** `bars` is asked when the guardian starts; the descriptors stay the caller's. `program`: another one, for tests. */
  constructor(on: string, bars: () => GuardedBars, program?: string) {
    this.#on = on;
    this.#bars = bars;
    this.#program = program;
  }

  /** Its process ID; undefined while there is none. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Guards a life from now on, in place of an earlier one. What fails is a warning: ERR_IVSHMEM_GUARDIAN. */
  guard(life: Life): void {
    this.end();
    this.#life = life;
    this.#startedAgain = false;
    this.#start();
  }

  /** The life ended in order, or somebody else has told. Returns when the guardian is gone. Idempotent. */
  end(): void {
    this.#finish((child) => child.stdin!.write(GOODBYE));
  }

  /** The life ended, and only the guardian can say so. Returns when it has, or could not for three seconds. */
  tell(): void {
    this.#finish((child) => child.stdin!.destroy());
  }

  #finish(how: (child: ChildProcess) => void): void {
    this.#life = undefined;
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    // Both ways take effect at once: libuv tries a write, and closes a descriptor, before the call returns.
    how(child);
    if (!binding.waitForExit(child.pid, PATIENCE_MS)) {
      child.kill('SIGKILL');
      binding.waitForExit(child.pid, PATIENCE_MS);
    }
    child.stdin!.destroy();
  }

  #start(): void {
    if (this.#life === undefined) return;
    try {
      const program = this.#program ?? guardianProgram();
      if (program === undefined) throw new Error('its program is not installed');
      const { memory, doorbell } = this.#bars();
      const child = spawn(program, guardianArguments(this.#life, memory.offset, doorbell.offset), {
        stdio: ['pipe', 'ignore', 'ignore', memory.fd, doorbell.fd],
        // A session of its own: what ends a terminal's processes must not end the one that tells.
        detached: true,
        cwd: '/',
        env: {},
      });
      this.#child = child;
      child.unref();
      // Absent when no descriptor was left for it.
      (child.stdin as (typeof child.stdin & { unref?(): void }) | undefined)?.unref?.();
      child.stdin?.on('error', () => {}); // It ended: `exit` says so.
      child.once('error', (error) => this.#ended(child, error.message));
      child.once('exit', (status, signal) => this.#ended(child, `it ended (${signal ?? status})`));
    } catch (error) {
      this.#warn((error as Error).message);
    }
  }

  #ended(child: ChildProcess, why: string): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    if (this.#startedAgain) this.#warn(why);
    else {
      this.#startedAgain = true;
      this.#start();
    }
  }

  #warn(why: string): void {
    process.emitWarning(new IvshmemError('ERR_IVSHMEM_GUARDIAN', { on: this.#on, why }));
  }
}

/** What native/guardian/guardian.c reads, in the order of its `struct Life`. */
function guardianArguments(life: Life, memory: number, doorbell: number): string[] {
  const { slot, generation, obituaryOffset, serverBlockOffset } = life;
  // A slot's mark is in the summary line itself: there are as many direct marks as slots (MAX_SLOTS).
  const summary = serverBlockOffset + (MEMBER_W.summary + (slot >>> 5)) * 4;
  const mark = (1 << (slot & 31)) >>> 0;
  const armed = serverBlockOffset + MEMBER_W.armed * 4;
  const ring = doorbellValue(SERVER_SLOT, NOTIFY_VECTOR);
  return [memory, obituaryOffset, generation >>> 0, REASON_CRASHED, summary, mark, armed, doorbell, ring].map(
    String,
  );
}
