import type { EtcdClient } from './etcd-client.ts';

const RETRY_MS = 300;

/** Tells that something below a prefix has changed, for as long as it is open: begins anew whenever the watch ends. */
export class EtcdWatch {
  readonly #client: EtcdClient;
  readonly #prefix: string;
  readonly #changed: () => void;
  readonly #waiting = new Set<() => void>();
  #stop: (() => void) | null = null;
  #closed = false;

  constructor(client: EtcdClient, prefix: string, changed: () => void) {
    this.#client = client;
    this.#prefix = prefix;
    this.#changed = changed;
  }

  start(): void {
    if (this.#closed) return;
    this.#stop = this.#client.watch(this.#prefix, this.#changed, () => {
      this.#stop = null;
      void this.pause().then(() => this.start());
    });
  }

  /** Before something is tried again; ends with close(). */
  pause(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, RETRY_MS);
      this.#waiting.add(wake);
    });
  }

  close(): void {
    this.#closed = true;
    this.#stop?.();
    for (const wake of [...this.#waiting]) wake();
  }
}
