// What connects to a node by itself: a node that is none, and what it says (native/hosts/wire.h).
import { readFileSync } from 'node:fs';
import { connect, type TLSSocket } from 'node:tls';
import type { Issued } from '../host/hosts/support/certificates.ts';

/** A connection to a node, by whoever has these certificates. */
export async function dial(port: number, identity: Issued): Promise<TLSSocket> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    cert: readFileSync(identity.certificate),
    key: readFileSync(identity.key),
    ca: readFileSync(identity.authority),
    checkServerIdentity: () => undefined,
  });
  socket.on('error', () => undefined);
  await new Promise((resolve) => {
    socket.once('secureConnect', resolve);
    socket.once('close', resolve);
  });
  return socket;
}

/** Of no space. */
export function frame(type: number, body: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(40);
  header.writeUInt32LE(body.length, 0);
  header.writeUInt8(type, 4);
  return Buffer.concat([header, body]);
}

/** The hello of a node (native/hosts/wire.h). */
export function hello(node: number, cluster = 'test'): Buffer {
  const body = Buffer.concat([
    Buffer.from('IVSHNODE'),
    Buffer.from([3, 0, node, cluster.length]),
    Buffer.from(cluster),
  ]);
  return frame(32, body);
}

/** A frame about the space that is there. */
export function about(
  type: number,
  words: { page?: bigint; version?: bigint; epoch?: bigint; right?: number },
): Buffer {
  const made = frame(type);
  made.writeUInt8(words.right ?? 0, 5);
  made.writeUInt32LE(7, 8);
  made.writeBigUInt64LE(words.epoch ?? 2n, 16);
  made.writeBigUInt64LE(words.version ?? 0n, 24);
  made.writeBigUInt64LE(words.page ?? 0n, 32);
  return made;
}
