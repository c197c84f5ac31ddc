import { closeSync } from 'node:fs';
import { binding, type FdWatch } from '../../native/binding.ts';

/** What the store tells its owner; `pid` sent it, as the kernel vouches. */
export interface StoreEvents {
  ready(pid: number): void;
  stopping(pid: number): void;
  failed(error: unknown): void;
}

/**
 * systemd's side of the descriptor store (sd_notify(3), sd_pid_notify_with_fds(3)): takes FDSTORE and FDSTOREREMOVE from the
 * processes it trusts and keeps what they send. Does not keep the process alive.
 */
export class DescriptorStore {
  readonly #socket: number;
  readonly #watch: FdWatch;
  readonly #trusts: (pid: number) => boolean;
  readonly #events: StoreEvents;
  readonly #kept = new Map<string, number>();

  constructor(name: string, trusts: (pid: number) => boolean, events: StoreEvents) {
    this.#trusts = trusts;
    this.#events = events;
    this.#socket = binding.datagramBind(name);
    this.#watch = new binding.FdWatch(this.#socket, () => this.drain());
    this.#watch.start(true, false);
  }

  get kept(): ReadonlyMap<string, number> {
    return this.#kept;
  }

  /** Takes all that was sent so far: what a process sent before it died is here after this. */
  drain(): void {
    try {
      for (;;) {
        const message = binding.datagramReceive(this.#socket);
        if (message === null) return;
        const { text, fd, pid } = message;
        if (!this.#trusts(pid) || !this.#take(new Map(text.split('\n').map(assignment)), fd, pid)) {
          if (fd >= 0) closeSync(fd);
        }
      }
    } catch (error) {
      this.#events.failed(error);
    }
  }

  close(): void {
    this.#watch.close();
    closeSync(this.#socket);
    for (const fd of this.#kept.values()) closeSync(fd);
    this.#kept.clear();
  }

  /** Whether `fd` was stored. */
  #take(says: ReadonlyMap<string, string>, fd: number, pid: number): boolean {
    const name = says.get('FDNAME');
    let stored = false;
    if (says.get('FDSTOREREMOVE') === '1' && name !== undefined) this.#put(name, -1);
    else if (says.get('FDSTORE') === '1' && name !== undefined && fd >= 0) {
      this.#put(name, fd);
      stored = true;
    }
    if (says.get('READY') === '1') this.#events.ready(pid);
    if (says.get('STOPPING') === '1') this.#events.stopping(pid);
    return stored;
  }

  #put(name: string, fd: number): void {
    const before = this.#kept.get(name);
    if (before !== undefined) closeSync(before);
    if (fd < 0) this.#kept.delete(name);
    else this.#kept.set(name, fd);
  }
}

function assignment(line: string): [string, string] {
  const at = line.indexOf('=');
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
}
