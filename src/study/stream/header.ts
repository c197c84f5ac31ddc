import type { Order } from './orders.ts';

/** A connection begins with 64 bytes that say what for, and its answer with 64 that say whether it can begin. */
export const headerBytes = 64;

/** `hello` is answered at once; the others when the answering side is on the path they are to be measured on. */
export type Purpose = Order | { readonly what: 'hello'; readonly bytes: 0 };

const whats = ['hello', 'rtt', 'feed', 'burst', 'open', 'file'] as const;

export function encodeHeader(purpose: Purpose): Uint8Array {
  const { what, bytes } = purpose;
  const header = Buffer.alloc(headerBytes);
  header.writeInt32LE(purpose.what === 'hello' ? 0 : (purpose.burst ?? 0), 8);
  header.writeInt32LE(whats.indexOf(what), 0);
  header.writeInt32LE(bytes, 4);
  return header;
}

/** @throws Error when the bytes are no header. */
export function decodeHeader(header: Buffer): Purpose {
  const what = whats[header.readInt32LE(0)];
  const bytes = header.readInt32LE(4);
  if (what === undefined) throw new Error('a connection began with no header');
  if (what === 'hello') return { what, bytes: 0 };
  const burst = header.readInt32LE(8);
  return { what, bytes, ...(burst === 0 ? {} : { burst }) };
}

const READY = 0x79646572;

/** The answer: ready, or why not, in few words. */
export function encodeAnswer(why = ''): Uint8Array {
  const answer = Buffer.alloc(headerBytes);
  answer.writeInt32LE(why === '' ? READY : 0, 0);
  answer.write(why, 4, headerBytes - 4, 'latin1');
  return answer;
}

/** @throws Error with the reason when the answer is not `ready`. */
export function checkAnswer(answer: Buffer): void {
  if (answer.readInt32LE(0) === READY) return;
  const why = answer.toString('latin1', 4, headerBytes).replaceAll('\0', '');
  throw new Error(`the answering side cannot begin: ${why || 'no reason given'}`);
}
