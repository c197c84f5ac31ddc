/**
 * Sends a million messages of 64 bytes through one channel in this process and prints, as JSON, what that cost: bytes of
 * JavaScript heap and of array buffers, garbage collections, native calls. Argument: `words` or `bytes`, the way in which
 * the messages are written and read, or `copy`, which does allocate, so that the method can be seen to notice. Run with --expose-gc; test/channel/allocation.ts does.
 */
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { post } from '../../src/memory/pending.ts';
import { binding } from '../../src/native/binding.ts';
import { channelPair } from './channel-pair.ts';

const LENGTH = 64;
const BURST = 32;
const WARM_UP = 500_000;
const MESSAGES = 1_000_000;

const viaBytes = process.argv[2] !== 'words';
const copying = process.argv[2] === 'copy';
const gc = (globalThis as { gc?: () => void }).gc!;

/** Every function and class of the addon counts from here on. */
let nativeCalls = 0;
function countNativeCalls(): number {
  const surface = binding as unknown as Record<string, unknown>;
  let wrapped = 0;
  for (const [name, value] of Object.entries(surface)) {
    if (typeof value !== 'function') continue;
    surface[name] = new Proxy(value, {
      apply(target, self, args) {
        nativeCalls++;
        return Reflect.apply(target, self, args);
      },
      construct(target, args) {
        nativeCalls++;
        return Reflect.construct(target, args);
      },
    });
    wrapped++;
  }
  return wrapped;
}

const { a, b, hostA, hostB } = channelPair({ queueSize: 256, dataBytes: 256 << 10 });
// What a region does with a notification, short of the doorbell.
const memberBlocks = new Int32Array(2048);
hostA.notifyPeer = () => void post(memberBlocks, 0, 1);
hostB.notifyPeer = () => void post(memberBlocks, 1024, 1);

const out = a.outgoing.words;
const into = b.incoming.words;

/** One burst there: reserve each, commit once, receive and release each. */
function burst(first: number): void {
  for (let i = 0; i < BURST; i++) {
    const room = a.reserve(LENGTH)!;
    if (viaBytes) room.bytes[0] = (first + i) & 0xff;
    else out[room.offset >> 2] = first + i;
  }
  a.commit();
  for (let i = 0; i < BURST; i++) {
    const message = b.receive()!;
    const value = copying ? message.copy()[0]! : viaBytes ? message.bytes[0]! : into[message.offset >> 2]!;
    if (value !== (viaBytes ? (first + i) & 0xff : first + i))
      throw new Error(`message ${first + i}: ${value}`);
    b.release(message);
  }
}

function run(messages: number): void {
  for (let first = 0; first < messages; first += BURST) burst(first);
}

const wrapped = countNativeCalls();
const collections: { kind: number; startTime: number }[] = [];
const observer = new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    const { kind } = (entry as unknown as { detail: { kind: number } }).detail;
    collections.push({ kind, startTime: entry.startTime });
  }
});
observer.observe({ entryTypes: ['gc'] });

b.spin(0); // the receiver polls: it wants no notifications
run(WARM_UP);
gc();
gc();
await turn();
run(BURST);
const startTime = performance.now();
const before = process.memoryUsage();
run(MESSAGES);
const after = process.memoryUsage();
const endTime = performance.now();
const callsDuring = nativeCalls;
// The counters themselves must work, or the zeros mean nothing.
binding.eventfdDrain(binding.eventfdCreate());
gc();
await turn();
await turn();
observer.disconnect();

const during = collections.filter((one) => one.startTime >= startTime && one.startTime <= endTime);
const result = {
  messages: MESSAGES,
  heapBytes: after.heapUsed - before.heapUsed,
  arrayBufferBytes: after.arrayBuffers - before.arrayBuffers,
  collections: during.length,
  scavenges: during.filter((one) => one.kind === constants.NODE_PERFORMANCE_GC_MINOR).length,
  nativeCalls: callsDuring,
  wrapped,
  counted: nativeCalls - callsDuring,
  observed: collections.length,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
