import { getOffset, PROOF_BYTES, putOffset } from './frames.ts';

/** Of everything said on a channel between two participants. */
export const VERSION = 1;
export const NONCE_BYTES = PROOF_BYTES;
/** Before the payload of DATA: type and version (8 bits each), 48 zero bits, offset (64). */
export const DATA_HEADER_BYTES = 16;
const HEADER_BYTES = 8;
const MOST_ADDRESS_BYTES = 64;

/** Names the TCP connection an offer is for, as the connector sees it. */
export interface Tuple {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

/** What participants say to each other on the channel. Reasons of DECLINE are numbers of reasons.ts. */
export type Message =
  | { readonly type: 'offer'; epoch: number; framed: boolean; nonce: Uint8Array; tuple: Tuple }
  | { readonly type: 'accept'; epoch: number; nonce: Uint8Array; offset: number }
  | { readonly type: 'decline'; reason: number }
  | { readonly type: 'armed' }
  | { readonly type: 'ready' }
  | { readonly type: 'data'; offset: number; bytes: Uint8Array };

const OFFER = 1;
const ACCEPT = 2;
const DECLINE = 3;
const ARMED = 4;
const READY = 5;
const DATA = 16;
const DATA_WORD = DATA | (VERSION << 8);

const text = new TextEncoder();

function start(type: number, bytes: number, short = 0): [Uint8Array, DataView] {
  const message = new Uint8Array(bytes);
  const view = new DataView(message.buffer);
  view.setUint8(0, type);
  view.setUint8(1, VERSION);
  view.setUint16(2, short, true);
  return [message, view];
}

export const encode = {
  offer(epoch: number, framed: boolean, nonce: Uint8Array, tuple: Tuple): Uint8Array {
    const local = text.encode(tuple.localAddress);
    const remote = text.encode(tuple.remoteAddress);
    const at = HEADER_BYTES + NONCE_BYTES;
    const [message, view] = start(OFFER, at + 6 + local.length + remote.length, epoch);
    view.setUint8(4, framed ? 1 : 0);
    message.set(nonce, HEADER_BYTES);
    view.setUint16(at, tuple.localPort, true);
    view.setUint16(at + 2, tuple.remotePort, true);
    view.setUint8(at + 4, local.length);
    view.setUint8(at + 5, remote.length);
    message.set(local, at + 6);
    message.set(remote, at + 6 + local.length);
    return message;
  },
  /** `offset`: where the proof will be in the acceptor's direction, when that is not framed yet. */
  accept(epoch: number, nonce: Uint8Array, offset: number): Uint8Array {
    const [message, view] = start(ACCEPT, HEADER_BYTES + NONCE_BYTES + 8, epoch);
    message.set(nonce, HEADER_BYTES);
    putOffset(view, HEADER_BYTES + NONCE_BYTES, offset);
    return message;
  },
  decline: (reason: number): Uint8Array => start(DECLINE, HEADER_BYTES, reason)[0],
  armed: (): Uint8Array => start(ARMED, HEADER_BYTES)[0],
  ready: (): Uint8Array => start(READY, HEADER_BYTES)[0],
};

/** Writes the header of DATA in place. */
export function putDataHeader(view: DataView, at: number, offset: number): void {
  view.setUint32(at, DATA_WORD, true);
  view.setUint32(at + 4, 0, true);
  putOffset(view, at + 8, offset);
}

/**
 * The offset of a DATA message in `words`, a live view of memory that the peer can write: each word is looked at once. -1 for
 * anything else.
 */
export function dataOffset(words: Int32Array, at: number): number {
  const type = words[at]!;
  const zero = words[at + 1]!;
  const low = words[at + 2]! >>> 0;
  const high = words[at + 3]! >>> 0;
  return type === DATA_WORD && zero === 0 && high < 2 ** 21 ? high * 2 ** 32 + low : -1;
}

/** Reads a private copy of a message; null for anything a participant of this version would not say. */
export function decode(bytes: Uint8Array): Message | null {
  if (bytes.length < HEADER_BYTES || bytes[1] !== VERSION) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const type = bytes[0];
  const short = view.getUint16(2, true);
  if (type === DATA) {
    if (bytes.length <= DATA_HEADER_BYTES || short !== 0 || view.getUint32(4, true) !== 0) return null;
    const offset = getOffset(view, 8);
    if (offset < 0) return null;
    return { type: 'data', offset, bytes: bytes.subarray(DATA_HEADER_BYTES) };
  }
  if (type === OFFER) return decodeOffer(bytes, view, short);
  if (type === ACCEPT && bytes.length === HEADER_BYTES + NONCE_BYTES + 8) {
    const offset = getOffset(view, HEADER_BYTES + NONCE_BYTES);
    const nonce = bytes.subarray(HEADER_BYTES, HEADER_BYTES + NONCE_BYTES);
    return offset < 0 ? null : { type: 'accept', epoch: short, nonce, offset };
  }
  if (bytes.length !== HEADER_BYTES) return null;
  if (type === DECLINE) return { type: 'decline', reason: short };
  if (type === ARMED) return { type: 'armed' };
  return type === READY ? { type: 'ready' } : null;
}

function decodeOffer(bytes: Uint8Array, view: DataView, epoch: number): Message | null {
  const at = HEADER_BYTES + NONCE_BYTES;
  if (bytes.length < at + 6 || bytes[4]! > 1) return null;
  const local = bytes[at + 4]!;
  const remote = bytes[at + 5]!;
  if (local > MOST_ADDRESS_BYTES || remote > MOST_ADDRESS_BYTES || bytes.length !== at + 6 + local + remote)
    return null;
  const read = (from: number, length: number): string =>
    Buffer.from(bytes.buffer, bytes.byteOffset + from, length).toString('latin1');
  const tuple: Tuple = {
    localAddress: read(at + 6, local),
    localPort: view.getUint16(at, true),
    remoteAddress: read(at + 6 + local, remote),
    remotePort: view.getUint16(at + 2, true),
  };
  return { type: 'offer', epoch, framed: bytes[4] === 1, nonce: bytes.subarray(HEADER_BYTES, at), tuple };
}
