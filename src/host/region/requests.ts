import {
  type Consistency,
  MAX_QUEUE_SIZE,
  MIN_QUEUE_SIZE,
  MOST_REPLICAS,
  NAME_BYTES,
  OPEN_ANY,
  PAGE_BYTES,
  SERVICE_BYTES,
  SPACE_PERSISTENT,
  SPACE_RELEASE,
  SPACE_REPLICAS_SHIFT,
  SPACE_SPREAD,
} from '../../memory/layout.ts';
import { decodeItems, type Item, MAX_ITEMS_BYTES } from '../../memory/member-record.ts';
import { BACKENDS, REASON_CLOSED, REASON_EVICTED, REASONS } from '../../memory/membership.ts';
import { isName, readName } from '../../memory/names.ts';

/** Position of the arguments in a copy of the request words. */
const ARGUMENTS = 2;

export interface Hello {
  readonly major: number;
  readonly generation: number;
  readonly name: string;
  /** Index into BACKENDS; 0 of a driver of layout 1.0, which does not say. */
  readonly backend: number;
  /** What it says of itself from the start. */
  readonly items: readonly Item[];
}

export interface Connect {
  readonly queueSize: number;
  readonly dataBytes: number;
  /** Empty: any. */
  readonly peer: string;
  readonly service: string;
}

export interface SpaceOpen {
  /** OPEN_* */
  readonly mode: number;
  readonly persistent: boolean;
  /** At least; 0: whatever it has. */
  readonly bytes: number;
  readonly name: string;
  /** Of a space that spreads over hosts, log2 of the size of its pages in bytes; 0: of one of this host alone. */
  readonly pageShift: number;
  /** Of one that spreads and is made now. */
  readonly consistency: Consistency;
  readonly replicas: number;
  /** If it is made now and spreads, the hosts that may open it: of the configuration, not of the request. Null: all. */
  readonly hosts?: readonly string[] | null;
}

/** Each reads a private copy of a request and returns null when it makes no sense. */
export function parseHello(request: Int32Array, draft: (bytes: number) => Uint8Array): Hello | null {
  const major = request[ARGUMENTS]! >>> 16;
  const generation = request[ARGUMENTS + 1]!;
  const name = name32(request, ARGUMENTS + 2);
  if (generation === 0 || name === null) return null;
  // A 1.0 driver left what was there before.
  const knows = (request[ARGUMENTS]! & 0xffff) >= 1;
  const backend = knows ? request[ARGUMENTS + 10]! : 0;
  const items = knows ? parseItems(request[ARGUMENTS + 11]!, draft) : [];
  if (backend < 0 || backend >= BACKENDS.length || items === null) return null;
  return { major, generation, name, backend, items };
}

/** Why the member leaves. Whatever it says it leaves, so that what makes no sense stands for closed. */
export function parseGoodbye(request: Int32Array): number {
  const reason = request[ARGUMENTS]!;
  return reason > 0 && reason < REASONS.length && reason !== REASON_EVICTED ? reason : REASON_CLOSED;
}

/** Milliseconds, 0 for no longer. */
export function parseSuspect(request: Int32Array): number | null {
  const milliseconds = request[ARGUMENTS]!;
  return milliseconds < 0 ? null : milliseconds;
}

export function parseDescribe(request: Int32Array, draft: (bytes: number) => Uint8Array): Item[] | null {
  return parseItems(request[ARGUMENTS]!, draft);
}

/** What a member says of itself: addresses, and labels as `key=value`. */
function parseItems(bytes: number, draft: (bytes: number) => Uint8Array): Item[] | null {
  if (bytes < 0 || bytes > MAX_ITEMS_BYTES) return null;
  const items = decodeItems(draft(bytes));
  const sensible = ({ type, text }: Item): boolean =>
    type === 'address' || (type === 'label' && text.indexOf('=') > 0);
  return items?.every(sensible) ? items : null;
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

export function parseSpaceOpen(request: Int32Array): SpaceOpen | null {
  const mode = request[ARGUMENTS]! >>> 0;
  const flags = request[ARGUMENTS + 1]! >>> 0;
  const bytes = (request[ARGUMENTS + 2]! >>> 0) + (request[ARGUMENTS + 3]! >>> 0) * 2 ** 32;
  const name = parseSpaceName(request, 4);
  // A size that no region has is for the quota to refuse; only one that is no number here makes no sense.
  const replicas = ((flags >>> SPACE_REPLICAS_SHIFT) & 0xff) + 1;
  const known = SPACE_PERSISTENT | SPACE_SPREAD | SPACE_RELEASE | (0xff << SPACE_REPLICAS_SHIFT);
  if (mode > OPEN_ANY || (flags & ~known) !== 0 || name === null || !Number.isSafeInteger(bytes)) return null;
  // Only who asks for a spread space writes this word.
  const pageShift = (flags & SPACE_SPREAD) === 0 ? 0 : request[ARGUMENTS + 20]!;
  if (pageShift !== 0 && (pageShift < 12 || pageShift > 21)) return null;
  if ((flags & SPACE_SPREAD) !== 0 && pageShift === 0) return null;
  const release = (flags & SPACE_RELEASE) !== 0;
  if (release && pageShift === 0) return null;
  if (replicas > (release ? MOST_REPLICAS : 1)) return null;
  const consistency = release ? 'release' : 'sequential';
  const persistent = (flags & SPACE_PERSISTENT) !== 0;
  return { mode, persistent, bytes, name, pageShift, consistency, replicas };
}

/** `at`: among the arguments. */
export function parseSpaceName(request: Int32Array, at = 0): string | null {
  return name64(request, ARGUMENTS + at);
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
