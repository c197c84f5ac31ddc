/**
 * What root in a guest can do to the other members of a region, with nothing but the device: one attack for some seconds.
 *   hostile rings SECONDS SEED       rewrites descriptors in use and event suppression of every open channel
 *   hostile forge SECONDS SEED       forges channel records, requests, events and pending bits, rings every peer and vector
 *   hostile scribble SECONDS SEED    stores random words all over the region
 */
import { openDevice } from '../../../src/ivshmem/open.ts';
import {
  CHANNEL_BYTES,
  CHANNEL_OPEN,
  CHANNEL_W,
  channelLayout,
  DESCRIPTOR_BYTES,
  EVENT_ENTRIES,
  MEMBER_BYTES,
  MEMBER_W,
  PAGE_BYTES,
  PENDING_WORDS,
  REQUEST_WORDS,
  SUMMARY_WORDS,
  tablePages,
} from '../../../src/memory/layout.ts';
import { say } from './services.ts';

const [attack, seconds, seed] = process.argv.slice(2);
const device = await openDevice(
  process.env.MEMBER_ADDRESS === undefined ? {} : { address: process.env.MEMBER_ADDRESS },
);
const words = new Int32Array(device.memory);
// What the server makes unless told otherwise. The header is not asked: an attack before may have hit it.
const SLOTS = 64;
const CHANNELS = 4096;
const tables = tablePages(SLOTS, CHANNELS);
const memberAt = (slot: number): number => (tables.memberPage * PAGE_BYTES + slot * MEMBER_BYTES) / 4;
const channelAt = (n: number): number => (tables.channelTablePage * PAGE_BYTES + n * CHANNEL_BYTES) / 4;

const DESCRIPTOR_WORDS = DESCRIPTOR_BYTES / 4;
/** The flags of a descriptor, in its last word. */
const FLAGS = 0xffff << 16;
/** Descriptors forged behind one in use: members overwrite the first before they look at it, hardly all of them. */
const AHEAD = 3;

let state = Number(seed) | 1;
let stores = 0;
let rings = 0;

/** xorshift32: any 32 bits but 0. */
function random(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state;
}

const below = (end: number): number => (random() >>> 0) % end;

/** A number that a careless reader would take: small, negative, near the size of the region, or anything. */
function absurd(): number {
  const candidates = [below(64), -1, 0x7fffffff, -0x80000000, device.memory.byteLength - below(64), random()];
  return candidates[below(candidates.length)]!;
}

function store(at: number, value: number): void {
  Atomics.store(words, at, value);
  stores++;
}

function ring(peer: number, vector: number): void {
  device.ring(peer, vector);
  rings++;
}

/** The last word of every descriptor of a ring as the attack left it, by the ring's place: what differs now is in use. */
const left = new Map<number, Int32Array>();

/** Stores absurd numbers over descriptors in use, the next ones, and the event suppression of every open channel. */
function tamperWithRings(): void {
  for (let n = 1; n < 64; n++) {
    const entry = channelAt(n);
    if (words[entry + CHANNEL_W.state] !== CHANNEL_OPEN) continue;
    const queueSize = words[entry + CHANNEL_W.queueSize]!;
    const start = words[entry + CHANNEL_W.firstPage]! * PAGE_BYTES;
    const { directions, bytes } = channelLayout(queueSize, words[entry + CHANNEL_W.dataBytes]!);
    if (start <= 0 || start + bytes > device.memory.byteLength) continue;
    for (const { ring: place, driverEvent, deviceEvent } of directions) {
      if (!tamperWithRing((start + place) / 4, queueSize) || below(8) > 0) continue;
      store((start + driverEvent) / 4, absurd());
      store((start + deviceEvent) / 4, absurd());
    }
  }
}

/** False when its members have stored nothing since the last visit. */
function tamperWithRing(ring: number, size: number): boolean {
  const known = left.get(ring) ?? new Int32Array(size);
  left.set(ring, known);
  const lastWord = (at: number): number => ring + at * DESCRIPTOR_WORDS + 3;
  let inUse = false;
  for (let at = 0; at < size; at++) {
    const last = words[lastWord(at)]!;
    if (last === known[at]) continue;
    known[at] = last;
    inUse = true;
    if (below(4) === 0) store(ring + at * DESCRIPTOR_WORDS + below(3), absurd());
    // The last word has the ID and the flags, AVAIL and USED among them (VIRTIO 1.3 §2.8.13): with the flags of a descriptor
    // in use, the next ones are as available as it is.
    for (let i = 1; i <= AHEAD; i++) {
      const next = (at + i) % size;
      for (let word = 0; word < 3; word++) store(ring + next * DESCRIPTOR_WORDS + word, absurd());
      known[next] = below(4) === 0 ? absurd() : (last & FLAGS) | below(0x10000);
      store(lastWord(next), known[next]!);
    }
  }
  return inUse;
}

function forge(): void {
  const entry = channelAt(1 + below(64));
  for (const field of Object.values(CHANNEL_W)) if (below(2) === 0) store(entry + field, absurd());
  // 0 is the server: its pending bits stand for slots with a request.
  const slot = below(SLOTS);
  const member = memberAt(slot);
  const request = member + MEMBER_W.request;
  for (let i = 2; i < REQUEST_WORDS; i++) store(request + i, absurd());
  store(request + 1, below(2) === 0 ? below(9) : absurd());
  store(request, below(4) === 0 ? absurd() : words[request]! + 1);
  store(memberAt(0) + MEMBER_W.pending + below(PENDING_WORDS), random());
  store(memberAt(0) + MEMBER_W.summary, -1);
  store(member + MEMBER_W.pending + below(PENDING_WORDS), random());
  store(member + MEMBER_W.summary + below(SUMMARY_WORDS), random());
  store(member + MEMBER_W.events + below(EVENT_ENTRIES), absurd());
  store(member + MEMBER_W.eventCount, absurd());
  store(member + MEMBER_W.armed, absurd());
  ring(slot, 0);
  ring(below(SLOTS), below(256));
  ring(below(0x10000), below(256));
}

let next = 0;
function scribble(): void {
  for (let i = 0; i < 1000; i++) {
    store(next, random());
    next = (next + 1) % words.length;
  }
  // The tables are a small part of the region: hit them more often than chance would.
  store(below((tables.heapPage * PAGE_BYTES) / 4), absurd());
  ring(below(SLOTS), 0);
}

const attacks: Record<string, () => void> = { rings: tamperWithRings, forge, scribble };
const once = attacks[attack!];
if (once === undefined) throw new Error(`no attack ${attack}`);
say({ attacking: attack });
const end = performance.now() + Number(seconds) * 1000;
let times = 0;
while (performance.now() < end) {
  once();
  times++;
}
say({ attack, times, stores, rings });
device.close();
