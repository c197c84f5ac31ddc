/**
 * Interop: the TypeScript queues as driver or device of the traffic of native/test/traffic.h, over a mapped file.
 *   peer.ts driver|device FILE SIZE COUNT SEED BATCH CHAINED INDIRECT EVENTS
 * Exit status 0 when every buffer and byte was right, else 1 with a message.
 */
import { closeSync, openSync } from 'node:fs';
import { binding } from '../../src/native/binding.ts';
import { DescriptorChain, DeviceQueue, DriverQueue } from '../../src/virtqueue/index.ts';
import {
  Random,
  TABLE_BYTES,
  TrafficBuffer,
  type TrafficOptions,
  trafficPlace,
} from '../support/ring-traffic.ts';

const DEADLINE_MS = 30_000;

const [role = '', file = '', ...rest] = process.argv.slice(2);
const [size = 0, count = 0, seed = 0, batch = 1, chained = 0, indirect = 0, events = 0] = rest.map(Number);
const options: TrafficOptions = {
  size,
  count,
  seed,
  batch,
  chained: chained === 1,
  indirect: indirect === 1,
  events: events === 1,
};
const place = trafficPlace(size);
const fd = openSync(file, 'r+');
const mapping = binding.mapFile(fd, 0, place.bytes, true);
closeSync(fd);
const bytes = new Uint8Array(mapping.buffer);
const words = new Int32Array(mapping.buffer, 0, place.bytes >>> 2);
const queuePlace = {
  memory: mapping.buffer,
  size,
  ring: 0,
  driverEvent: place.driverEvent,
  deviceEvent: place.deviceEvent,
  inOrder: true,
};
const [ownBell, partnerBell] =
  role === 'driver'
    ? [place.driverBell / 4, place.deviceBell / 4]
    : [place.deviceBell / 4, place.driverBell / 4];

function check(right: boolean, what: string, sequence: number): asserts right {
  if (right) return;
  process.stderr.write(`typescript ${role}: ${what} at buffer ${sequence}\n`);
  process.exit(1);
}

const asleep = new Int32Array(new SharedArrayBuffer(4));
let spins = 0;
let since = Date.now();
/** One turn of a wait: spins a little, then lets others have the processor. False after the deadline. */
function pause(): boolean {
  if (++spins % 500 !== 0) return true;
  Atomics.wait(asleep, 0, 0, 0.02);
  return Date.now() - since < DEADLINE_MS;
}

let rang = 0;
function ring(): void {
  Atomics.add(words, partnerBell, 1);
  rang++;
}

let bellSeen = 0;
/** Waits for `ready`: polls, or arms and then looks at nothing but the bell. */
function wait(ready: () => boolean, arm: () => boolean, sequence: number): void {
  since = Date.now();
  while (!ready()) {
    if (!options.events) {
      check(pause(), 'nothing before the deadline', sequence);
    } else if (!arm()) {
      while (Atomics.load(words, ownBell) === bellSeen)
        check(pause(), 'no bell before the deadline', sequence);
      bellSeen = Atomics.load(words, ownBell);
    }
  }
}

function drive(): void {
  const queue = new DriverQueue(queuePlace);
  const random = new Random(seed | 1);
  const table = new DataView(mapping.buffer);
  const used = { id: 0, len: 0 };
  let added = 0;
  let completed = 0;
  const complete = (): void => {
    const buffer = new TrafficBuffer(options, completed);
    check(used.id === completed % size, `ID ${used.id} came back`, completed);
    // Buffers before the last of a batch have no length of their own (§2.8.8).
    check(used.len === buffer.written || used.len === 0, `used length ${used.len}`, completed);
    check(buffer.check(bytes, true), 'wrong bytes written', completed);
    completed++;
  };
  const addTable = (buffer: TrafficBuffer): void => {
    const at = place.tables + (added % size) * TABLE_BYTES;
    buffer.elements.forEach(({ addr, len, writable }, i) => {
      table.setBigUint64(at + 16 * i, BigInt(addr), true);
      table.setUint32(at + 16 * i + 8, len, true);
      table.setUint32(at + 16 * i + 12, writable ? 2 << 16 : 0, true);
    });
    queue.addIndirect(at, buffer.elements.length, added & 1);
  };
  if (options.events) queue.disableNotifications();
  while (completed < count) {
    for (let burst = 1 + (random.next() % batch); burst > 0 && added < count; burst--, added++) {
      const buffer = new TrafficBuffer(options, added);
      if (queue.outstanding === size || queue.free < (buffer.indirect ? 1 : buffer.elements.length)) break;
      buffer.fill(bytes, false);
      if (buffer.indirect) addTable(buffer);
      else queue.add(buffer.elements, added & 1);
    }
    queue.publish();
    if (queue.needsNotification()) ring();
    if (added === count || queue.outstanding === size || queue.free < 4) {
      const after = random.next() & 1 ? Math.ceil(queue.outstanding / 2) : 0;
      wait(
        () => queue.takeUsed(used),
        () => queue.enableNotifications(after),
        completed,
      );
      complete();
      if (options.events) queue.disableNotifications();
    }
    while (queue.takeUsed(used)) complete();
  }
}

function serve(): void {
  const queue = new DeviceQueue({ ...queuePlace, bounds: { start: 0, end: place.bytes } });
  const random = new Random(~seed | 1);
  const chain = new DescriptorChain(size);
  let completed = 0;
  const flush = (): void => {
    queue.flushUsed();
    if (queue.needsNotification()) ring();
  };
  if (options.events) queue.disableNotifications();
  while (completed < count) {
    wait(
      () => queue.hasAvailable(),
      () => queue.enableNotifications(),
      completed,
    );
    if (options.events) queue.disableNotifications();
    for (let left = 1 + (random.next() % batch); left > 0 && queue.take(chain); left--, completed++) {
      const buffer = new TrafficBuffer(options, completed);
      check(chain.count === buffer.elements.length, `${chain.count} elements`, completed);
      buffer.elements.forEach(({ addr, len, writable }, i) => {
        const same =
          chain.addrs[i] === addr && chain.lens[i] === len && chain.writable[i] === Number(writable);
        check(same, `wrong element ${i}`, completed);
      });
      check(buffer.check(bytes, false), 'wrong bytes read', completed);
      buffer.fill(bytes, true);
      queue.addUsed(chain.id, chain.tag, chain.descriptors, buffer.written);
    }
    flush();
  }
}

if (role === 'driver') drive();
else serve();
process.stdout.write(`${count} buffers, rang ${rang} times\n`);
mapping.close();
