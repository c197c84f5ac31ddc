import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { isIvshmemError } from '../../src/errors/index.ts';
import { binding } from '../../src/native/binding.ts';
import { DescriptorChain, DeviceQueue, DriverQueue } from '../../src/virtqueue/index.ts';
import { placeOf, takeHot } from '../support/queue.ts';
import { Random, testSeed } from '../support/random.ts';

// Whatever the other side writes: the outcome of a call is a value or ERR_IVSHMEM_QUEUE_BROKEN, a broken queue stays
// broken, and no byte outside the queue's own areas is touched. A failure names its seed: IVSHMEM_TEST_SEED.

const RUNS = 3000;
const CALLS = 60;
const GUARD = 256;
const DATA = 2048;
const GUARD_BYTE = 0xa5;

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const AVAIL = 0x80;
const USED = 0x8000;

class Victim {
  readonly size: number;
  readonly memory: ArrayBuffer;
  readonly dataStart: number;
  readonly dataEnd: number;
  readonly driver: DriverQueue;
  readonly device: DeviceQueue;
  readonly chain: DescriptorChain;
  readonly #random: Random;

  constructor(random: Random, memory?: ArrayBuffer, size = random.pick([2, 4, 8, 32])) {
    this.#random = random;
    this.size = size;
    this.dataStart = GUARD + this.size * 16 + 16;
    this.dataEnd = this.dataStart + DATA;
    this.memory = memory ?? new ArrayBuffer(this.dataEnd + GUARD);
    const place = placeOf(this.memory, this.size, GUARD);
    const inOrder = random.oneIn(2);
    this.driver = new DriverQueue({ ...place, inOrder });
    const bounds = { start: this.dataStart, end: this.dataEnd };
    this.device = new DeviceQueue({ ...place, inOrder, bounds });
    this.chain = new DescriptorChain(random.pick([2, this.size]));
  }

  /** One call of either role; true when it broke its queue. */
  call(): boolean {
    try {
      this.#call();
      return false;
    } catch (error) {
      if (!isIvshmemError(error, 'ERR_IVSHMEM_QUEUE_BROKEN')) throw error;
      if (this.driver.broken === '' && this.device.broken === '') throw new Error('broken, but not marked');
      return true;
    }
  }

  #call(): void {
    const random = this.#random;
    const used = { id: 0, len: 0 };
    switch (random.below(9)) {
      case 0:
        if (this.driver.free > 0) this.driver.addReadable(this.dataStart, 64, random.below(2));
        break;
      case 1:
        this.driver.publish();
        this.driver.needsNotification();
        break;
      case 2:
        this.driver.takeUsed(used);
        break;
      case 3:
        this.driver.enableNotifications(random.below(4));
        break;
      case 4:
        this.#take();
        break;
      case 5:
        this.#take();
        this.device.flushUsed();
        this.device.needsNotification();
        break;
      case 6:
        this.device.enableNotifications(random.below(4));
        break;
      case 7:
        this.device.driverWaits();
        this.device.disableNotifications();
        this.driver.disableNotifications();
        break;
      default:
        if (this.driver.free > 1)
          this.driver.add([
            { addr: this.dataStart, len: 1 },
            { addr: this.dataStart, len: 1, writable: true },
          ]);
    }
  }

  /** Takes a buffer, holds everything in it against the bounds, and mostly gives it back. */
  #take(): void {
    const { device, chain } = this;
    if (!(this.#random.oneIn(2) ? device.take(chain) : takeHot(device, chain))) return;
    if (chain.count < 1 || chain.count > this.size) throw new Error(`${chain.count} elements`);
    if (chain.id > 0x7fff || chain.descriptors < 1 || chain.descriptors > this.size)
      throw new Error(`ID ${chain.id}, ${chain.descriptors} descriptors`);
    for (let i = 0; i < chain.count; i++) {
      const addr = chain.addrs[i]!;
      if (addr < this.dataStart || addr + chain.lens[i]! > this.dataEnd)
        throw new Error(`element ${i} at ${addr}+${chain.lens[i]}`);
    }
    device.addUsed(chain.id, chain.tag, chain.descriptors, chain.len);
  }

  /** What a broken queue must go on doing. */
  staysBroken(): boolean {
    const used = { id: 0, len: 0 };
    const breaks = (call: () => unknown): boolean => {
      try {
        call();
        return false;
      } catch (error) {
        return isIvshmemError(error, 'ERR_IVSHMEM_QUEUE_BROKEN');
      }
    };
    const driver = this.driver.broken === '' || breaks(() => this.driver.takeUsed(used));
    const device =
      this.device.broken === '' ||
      (breaks(() => this.device.take(this.chain)) && !this.device.hasAvailable());
    return driver && device;
  }
}

/** One act of sabotage on the queue's memory. */
type Sabotage = (random: Random, victim: Victim) => void;

function descriptor(
  random: Random,
  victim: Victim,
  fields: Partial<Record<'addr' | 'len' | 'id' | 'flags', number>>,
) {
  const view = new DataView(victim.memory, GUARD + random.below(victim.size) * 16, 16);
  const { addr, len, id, flags } = fields;
  if (addr !== undefined) view.setBigUint64(0, BigInt(addr), true);
  if (len !== undefined) view.setUint32(8, len, true);
  if (id !== undefined) view.setUint16(12, id, true);
  if (flags !== undefined) view.setUint16(14, flags, true);
}

const marks = [AVAIL, USED, AVAIL | USED, 0];
const kinds = [0, NEXT, WRITE, INDIRECT, NEXT | WRITE, NEXT | INDIRECT, 7, 0x78, 0x7f00];

const sabotages: Readonly<Record<string, Sabotage>> = {
  'random bytes': (random, victim) => {
    const bytes = new Uint8Array(victim.memory, GUARD, victim.size * 16 + 16 + DATA);
    for (let i = 0; i < bytes.length; i++) bytes[i] = random.bits();
  },
  'a flipped bit': (random, victim) => {
    const bytes = new Uint8Array(victim.memory, GUARD, victim.size * 16 + 8);
    const at = random.below(bytes.length);
    bytes[at] = bytes[at]! ^ (1 << random.below(8));
  },
  'addresses and lengths out of range': (random, victim) => {
    const addr = random.pick([
      0,
      GUARD,
      victim.dataStart - 1,
      victim.dataEnd,
      victim.dataEnd + 1,
      2 ** 31,
      2 ** 32 - 1,
      2 ** 52,
    ]);
    const len = random.pick([0, 1, DATA, DATA + 1, 2 ** 31, 2 ** 32 - 1]);
    descriptor(random, victim, { addr, len, flags: random.pick(marks) | random.pick(kinds) });
  },
  'every descriptor NEXT': (random, victim) => {
    const mark = random.pick(marks);
    for (let i = 0; i < victim.size; i++) {
      const view = new DataView(victim.memory, GUARD + i * 16, 16);
      view.setBigUint64(0, BigInt(victim.dataStart), true);
      view.setUint32(8, 1, true);
      view.setUint16(14, mark | NEXT, true);
    }
  },
  'IDs reused or never given': (random, victim) => {
    const id = random.pick([0, 1, victim.size - 1, victim.size, 0x7fff, 0x8000, 0xffff]);
    descriptor(random, victim, { id, flags: random.pick(marks) });
  },
  'everything available at once': (random, victim) => {
    const mark = random.pick([AVAIL, USED]);
    for (let i = 0; i < victim.size; i++) {
      const view = new DataView(victim.memory, GUARD + i * 16, 16);
      view.setBigUint64(0, BigInt(victim.dataStart + random.below(DATA)), true);
      view.setUint32(8, random.below(16), true);
      view.setUint32(12, random.below(0x10000) | (mark << 16), true);
    }
  },
  'everything used at once': (random, victim) => {
    const mark = random.pick([AVAIL | USED, 0]);
    for (let i = 0; i < victim.size; i++)
      new DataView(victim.memory, GUARD + i * 16, 16).setUint32(
        12,
        random.below(0x10000) | (mark << 16),
        true,
      );
  },
  'indirect tables anywhere': (random, victim) => {
    const table = victim.dataStart + random.pick([0, 8, 16, DATA - 16, DATA, -16]);
    const view = new DataView(victim.memory, victim.dataStart, 512);
    for (let at = 0; at < 512; at += 16) {
      view.setBigUint64(at, BigInt(random.pick([victim.dataStart, victim.dataEnd, 0, 2 ** 40])), true);
      view.setUint32(at + 8, random.below(DATA * 2), true);
      view.setUint16(at + 14, random.pick(kinds), true);
    }
    const len = random.pick([0, 8, 16, 32, victim.size * 16, victim.size * 16 + 16, 2 ** 32 - 16]);
    descriptor(random, victim, {
      addr: table,
      len,
      flags: random.pick([AVAIL, USED]) | INDIRECT | random.pick(kinds),
    });
  },
  'event suppression garbage': (random, victim) => {
    const at = GUARD + victim.size * 16;
    new DataView(victim.memory, at, 8).setUint32(random.below(2) * 4, random.bits(), true);
  },
};

function guardsIntact(victim: Victim): boolean {
  const bytes = new Uint8Array(victim.memory);
  return (
    bytes.subarray(0, GUARD).every((byte) => byte === GUARD_BYTE) &&
    bytes.subarray(victim.dataEnd, victim.dataEnd + GUARD).every((byte) => byte === GUARD_BYTE)
  );
}

function raiseGuards(victim: Victim): void {
  const bytes = new Uint8Array(victim.memory);
  bytes.fill(GUARD_BYTE, 0, GUARD);
  bytes.fill(GUARD_BYTE, victim.dataEnd, victim.dataEnd + GUARD);
}

const all = Object.values(sabotages);
for (const [what, only] of [...Object.entries(sabotages), ['all of it', null] as const]) {
  t.test(`${what}: a value or a broken queue, for good, and nothing outside`, async (t) => {
    const seed = testSeed();
    let broke = 0;
    for (let run = 0; run < RUNS; run++) {
      const random = new Random(seed + run);
      const victim = new Victim(random);
      raiseGuards(victim);
      const data = new Uint8Array(victim.memory, victim.dataStart, DATA);
      try {
        let broken = false;
        for (let call = 0; call < CALLS; call++) {
          if (random.oneIn(4)) (only ?? random.pick(all))(random, victim);
          const before = run % 50 === 0 ? data.slice() : null;
          if (victim.call()) broken = true;
          if (before !== null && !Buffer.from(before).equals(data))
            throw new Error('a queue wrote into the data');
        }
        if (broken) broke++;
        if (!victim.staysBroken()) throw new Error('a broken queue works again');
        if (!guardsIntact(victim)) throw new Error('written outside the queue');
      } catch (error) {
        t.fail(`run with IVSHMEM_TEST_SEED=${seed + run}: ${(error as Error).stack}`);
        return;
      }
    }
    t.comment(`${broke} of ${RUNS} queues broke`);
    if (what === 'event suppression garbage') t.equal(broke, 0, 'notifications are advice only');
    else t.ok(broke > RUNS / 100, 'the sabotage reaches the checks');
  });
}

t.test('memory that changes while it is read', async (t) => {
  // The same pages twice: a process scribbles over one mapping while both roles work on the other.
  const BYTES = 4096;
  const SIZE = 32;
  const memfd = binding.createMemfd('ivshmem-hostile', BYTES, true, false);
  const mapping = binding.mapFile(memfd, 0, BYTES, true);
  t.teardown(() => {
    mapping.close();
    closeSync(memfd);
  });
  const program = fileURLToPath(new URL('../support/hostile-scribbler.ts', import.meta.url));
  const place = [BYTES, GUARD, SIZE, DATA].map(String);
  const scribbler = spawn(process.execPath, ['--import', 'tsx', program, ...place], {
    stdio: ['ignore', 'pipe', 'inherit', memfd],
  });
  t.teardown(async () => {
    if (scribbler.exitCode !== null) return;
    scribbler.kill('SIGKILL');
    await once(scribbler, 'exit');
  });
  const [greeting] = await once(scribbler.stdout!, 'data');
  t.equal(String(greeting), 'ready\n');
  const seed = testSeed();
  const random = new Random(seed);
  raiseGuards(new Victim(random, mapping.buffer, SIZE));
  let broke = 0;
  for (let run = 0; run < 3000; run++) {
    const victim = new Victim(random, mapping.buffer, SIZE);
    for (let call = 0; call < 200; call++) if (victim.call()) broke++;
    if (!victim.staysBroken()) return t.fail(`a broken queue works again (seed ${seed}, run ${run})`);
    if (!guardsIntact(victim)) return t.fail(`written outside the queue (seed ${seed}, run ${run})`);
  }
  t.equal(scribbler.exitCode, null, 'it wrote all the time');
  t.ok(broke > 100, `${broke} calls met a broken queue`);
  return undefined;
});
