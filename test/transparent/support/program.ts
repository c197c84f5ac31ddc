import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Readable } from 'node:stream';

/** What a client does with its server. Both are ordinary programs: with and without shared memory they see the same. */
export interface Use {
  readonly port: number;
  /** Notes what the program saw. */
  saw(...what: unknown[]): void;
  /** Resolves when a connection is on shared memory, where it can be. */
  moved(socket: Socket): Promise<void>;
}

export interface Program {
  server(): Server | Promise<Server>;
  use(use: Use): Promise<void>;
  /** The address at which it listens; 127.0.0.1 unless given. */
  readonly host?: string;
  /** Connections of this program that are on shared memory at least; 1 unless given. */
  readonly moves?: number;
}

export async function listen(server: Server, host = '127.0.0.1'): Promise<number> {
  server.listen(0, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** The bytes of a pseudo-random text, which compresses a little. */
export function bytes(length: number, seed = 1): Buffer {
  const data = Buffer.alloc(length);
  for (let i = 0; i < length; i++) data[i] = (Math.imul(i + seed, 0x9e3779b1) >>> 12) & 0x3f;
  return data;
}

export const sum = (data: Buffer | string): string =>
  createHash('sha256').update(data).digest('hex').slice(0, 12);

export async function all(stream: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

const pem = (name: string): Buffer => readFileSync(new URL(`certificates/${name}`, import.meta.url));

export const authority = { ca: pem('ca.crt') };
export const serverIdentity = { cert: pem('server.crt'), key: pem('server.key') };
export const clientIdentity = { cert: pem('client.crt'), key: pem('client.key') };
