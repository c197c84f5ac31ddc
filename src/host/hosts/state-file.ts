import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { IvshmemError } from '../../errors/index.ts';
import { type Durable, NEW_HOST } from './acceptor.ts';
import { decidedSchema } from './static-messages.ts';

const count = z.int().min(0);
const stateSchema = z.strictObject({
  format: z.literal(1),
  /** Who may use it: another list of hosts counts other majorities. */
  hosts: z.array(z.string()),
  self: z.string(),
  incarnation: count,
  promised: count,
  accepted: count,
  value: decidedSchema,
  clean: z.boolean().default(false),
});

/** Where a host of a static list keeps its votes: a file that is replaced as a whole, and is on disk when save() returns. */
export class StateFile {
  readonly #path: string;
  readonly #hosts: readonly string[];
  readonly #self: string;

  /** `hosts` in their order; `self` is one of them. */
  constructor(path: string, hosts: readonly string[], self: string) {
    this.#path = path;
    this.#hosts = hosts;
    this.#self = self;
  }

  /** A host that has no file yet has voted for nothing. Throws ERR_IVSHMEM_HOSTS_STATE. */
  load(): Durable {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return NEW_HOST;
      throw this.#failed(cause);
    }
    let state: z.output<typeof stateSchema>;
    try {
      state = stateSchema.parse(JSON.parse(text));
    } catch (cause) {
      throw new IvshmemError(
        'ERR_IVSHMEM_HOSTS_STATE',
        { on: this.#path, why: 'it is not what this version of the server writes there' },
        { cause },
      );
    }
    const { format: _, hosts, self, ...durable } = state;
    if (self !== this.#self || String(hosts) !== String(this.#hosts)) {
      const why = `it is of host ${self} among ${hosts.join(', ')}, not of ${this.#self} among ${this.#hosts.join(', ')}`;
      throw new IvshmemError('ERR_IVSHMEM_HOSTS_STATE', { on: this.#path, why });
    }
    return durable;
  }

  /** Throws ERR_IVSHMEM_HOSTS_STATE. */
  save(durable: Durable): void {
    const state = { format: 1, hosts: this.#hosts, self: this.#self, ...durable };
    const next = `${this.#path}.new`;
    try {
      const fd = openSync(next, 'w', 0o600);
      try {
        // All of it, or an error: write(2) may end with a part where the disk is full.
        writeFileSync(fd, JSON.stringify(state));
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(next, this.#path);
      // The name as well as the bytes.
      const folder = openSync(dirname(this.#path), 'r');
      try {
        fsyncSync(folder);
      } finally {
        closeSync(folder);
      }
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  #failed(cause: unknown): IvshmemError {
    const why = (cause as Error).message;
    return new IvshmemError('ERR_IVSHMEM_HOSTS_STATE', { on: this.#path, why }, { cause });
  }
}
