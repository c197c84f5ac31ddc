import { closeSync, fstatSync, readSync, writeSync } from 'node:fs';
import { binding } from '../../native/binding.ts';

/** What a journal is written to. Positions and lengths are bytes; what was never written reads as zeros. */
export interface Storage {
  /** All of `bytes`, or a beginning of them when the process dies on the way. */
  write(bytes: Buffer, position: number): void;
  /** What is there, up to `length` bytes. */
  read(position: number, length: number): Buffer;
  /** Makes [position, position + length) read as zeros. */
  clear(position: number, length: number): void;
  close(): void;
}

/** An anonymous file that lives as long as anybody holds its descriptor. It is sent to nobody but the keeper. */
export class MemfdStorage implements Storage {
  readonly fd: number;

  /** Owns `fd` from now on. */
  constructor(fd: number) {
    this.fd = fd;
  }

  static create(name: string): MemfdStorage {
    return new MemfdStorage(binding.createMemfd(name, 1, false, false));
  }

  write(bytes: Buffer, position: number): void {
    for (let at = 0; at < bytes.length; )
      at += writeSync(this.fd, bytes, at, bytes.length - at, position + at);
  }

  read(position: number, length: number): Buffer {
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, fstatSync(this.fd).size - position)));
    let at = 0;
    while (at < bytes.length) {
      const got = readSync(this.fd, bytes, at, bytes.length - at, position + at);
      if (got === 0) break;
      at += got;
    }
    return bytes.subarray(0, at);
  }

  clear(position: number, length: number): void {
    binding.punchHole(this.fd, position, length);
  }

  close(): void {
    closeSync(this.fd);
  }
}
