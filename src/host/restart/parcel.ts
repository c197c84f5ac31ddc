import { closeSync, fstatSync, readSync } from 'node:fs';
import { binding } from '../../native/binding.ts';
import { MemfdStorage } from '../records/storage.ts';
import type { Link } from '../sockets/link.ts';

/**
 * Named descriptors over a Link: first their number, beside it an anonymous file with their names (a JSON array), then each
 * with its index. Names do not fit into the protocol's eight bytes.
 */
const MOST_NAMES_BYTES = 16 << 20;
const MOST_DESCRIPTORS = 1 << 20;

/** Sends them. They must stay open until the other side has answered. */
export function sendParcel(link: Link, descriptors: ReadonlyMap<string, number>): void {
  const names = MemfdStorage.create('ivshmem-names');
  names.write(Buffer.from(JSON.stringify([...descriptors.keys()])), 0);
  const fds = [...descriptors.values()];
  link.send([fds.length, ...fds.keys()], [names.fd, ...fds], [names.fd]);
}

/** Puts a parcel together, message by message. */
export class Parcel {
  #names: string[] | null = null;
  readonly #descriptors = new Map<string, number>();

  /** Owns `fd` from now on. Returns the descriptors when all are there. Throws an Error when it is no parcel. */
  add(value: number, fd: number): Map<string, number> | null {
    try {
      if (this.#names === null) this.#names = readNames(value, fd);
      else this.#put(value, fd);
    } catch (error) {
      if (fd >= 0) closeSync(fd);
      this.close();
      throw error;
    }
    if (this.#descriptors.size < this.#names.length) return null;
    return new Map(this.#descriptors);
  }

  /** Closes what came of an unfinished one. */
  close(): void {
    for (const fd of this.#descriptors.values()) closeSync(fd);
    this.#descriptors.clear();
  }

  #put(index: number, fd: number): void {
    const name = this.#names![index];
    if (name === undefined || fd < 0 || this.#descriptors.has(name)) {
      throw new Error(`descriptor ${index} is none of those announced`);
    }
    this.#descriptors.set(name, fd);
  }
}

/** Closes `fd`. */
function readNames(count: number, fd: number): string[] {
  if (fd < 0 || !(count >= 0 && count <= MOST_DESCRIPTORS))
    throw new Error('the names of the descriptors are missing');
  const { size } = fstatSync(fd);
  if (size > MOST_NAMES_BYTES) throw new Error(`the names of the descriptors take ${size} bytes`);
  const bytes = Buffer.alloc(size);
  readSync(fd, bytes, 0, size, 0);
  const names: unknown = JSON.parse(bytes.toString('utf8'));
  const fine =
    Array.isArray(names) && names.length === count && names.every((name) => typeof name === 'string');
  if (!fine || new Set(names).size !== count) throw new Error(`there are not ${count} names`);
  closeSync(fd);
  return names;
}

/** Whether the process at the other end of a socket may give or get a region: this user, or root. */
export function trusts(socket: number): boolean {
  const { uid } = binding.socketCredentials(socket);
  return uid === 0 || uid === process.getuid!();
}
