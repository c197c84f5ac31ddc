import { MAX_QUEUE_SIZE, MIN_QUEUE_SIZE, NAME_BYTES, PAGE_BYTES, SERVICE_BYTES } from '../memory/layout.ts';
import { isName, readName } from '../memory/names.ts';

/** Position of the arguments in a copy of the request words. */
const ARGUMENTS = 2;

export interface Hello {
  readonly major: number;
  readonly generation: number;
  readonly name: string;
}

export interface Connect {
  readonly queueSize: number;
  readonly dataBytes: number;
  /** Empty: any. */
  readonly peer: string;
  readonly service: string;
}

/** Each reads a private copy of a request and returns null when it makes no sense. */
export function parseHello(request: Int32Array): Hello | null {
  const major = request[ARGUMENTS]! >>> 16;
  const generation = request[ARGUMENTS + 1]!;
  const name = name32(request, ARGUMENTS + 2);
  return generation === 0 || name === null ? null : { major, generation, name };
}

export function parseListen(request: Int32Array): string | null {
  return name64(request, ARGUMENTS);
}

export function parseConnect(request: Int32Array, heapBytes: number): Connect | null {
  const queueSize = request[ARGUMENTS]! >>> 0;
  const dataBytes = request[ARGUMENTS + 1]! >>> 0;
  const anyPeer = request[ARGUMENTS + 2] === 0;
  const peer = anyPeer ? '' : name32(request, ARGUMENTS + 2);
  const service = name64(request, ARGUMENTS + 10);
  if (peer === null || service === null) return null;
  if (queueSize < MIN_QUEUE_SIZE || queueSize > MAX_QUEUE_SIZE || (queueSize & (queueSize - 1)) !== 0)
    return null;
  if (dataBytes < PAGE_BYTES || dataBytes % PAGE_BYTES !== 0 || dataBytes > heapBytes) return null;
  return { queueSize, dataBytes, peer, service };
}

function name32(request: Int32Array, at: number): string | null {
  return checked(readName(request, at, NAME_BYTES), NAME_BYTES);
}

function name64(request: Int32Array, at: number): string | null {
  return checked(readName(request, at, SERVICE_BYTES), SERVICE_BYTES);
}

/** U+FFFD stands where the bytes were not UTF-8; it could also make the name longer than its field. */
function checked(name: string, bytes: number): string | null {
  return isName(name, bytes) && !name.includes('\ufffd') ? name : null;
}
