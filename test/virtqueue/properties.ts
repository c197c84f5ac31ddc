import t from 'tap';
import type { DescriptorChain, UsedBuffer } from '../../src/virtqueue/index.ts';
import { type QueuePair, queuePair, takeHot } from '../support/queue.ts';
import { Random, testSeed } from '../support/random.ts';

// Random interleavings of both roles against a plain FIFO. A failure names the seed of its run: IVSHMEM_TEST_SEED.

const RUNS = 2000;
const STEPS = 120;

interface Buffer {
  readonly id: number;
  readonly tag: number;
  readonly descriptors: number;
  readonly elements: readonly (readonly [addr: number, len: number, writable: number])[];
}

/** What both queues must agree with. Any disagreement throws. */
class Model {
  readonly #random: Random;
  readonly #queue: QueuePair;
  readonly #inOrder: boolean;
  readonly #added: Buffer[] = [];
  readonly #published: Buffer[] = [];
  readonly #taken: Buffer[] = [];
  /** Given back by the device, in the order the driver must see them; the length it wrote with each. */
  readonly #given: { buffer: Buffer; written: number }[] = [];
  readonly #used: { buffer: Buffer; written: number | null }[] = [];
  /** A side that asked for notifications, saw nothing and sleeps. */
  #driverSleeps = false;
  #deviceSleeps = false;
  /** With a threshold: descriptors that must become visible before the side is told. */
  #driverWants = 0;
  #deviceWants = 0;
  delivered = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#inOrder = random.oneIn(2);
    this.#queue = queuePair(random.pick([2, 4, 8, 16, 64]), { inOrder: this.#inOrder, dataBytes: 1 << 16 });
  }

  step(): void {
    this.#random
      .pick([
        this.#add,
        this.#add,
        this.#publish,
        this.#take,
        this.#take,
        this.#give,
        this.#give,
        this.#flush,
        this.#takeUsed,
        this.#takeUsed,
        this.#reclaim,
        this.#sleepDriver,
        this.#sleepDevice,
        this.#awake,
      ])
      .call(this);
    this.#compare();
  }

  /** Runs everything to its end: nothing may stay behind. */
  drain(): void {
    this.#driverSleeps = this.#deviceSleeps = false;
    this.#publish();
    while (this.#published.length > 0) this.#take();
    while (this.#taken.length > 0) this.#give();
    this.#flush();
    while (this.#used.length > 0) this.#takeUsed();
    this.#compare();
    equal(this.#queue.driver.free, this.#queue.driver.size, 'free at the end');
    equal(this.#queue.driver.outstanding, 0, 'outstanding at the end');
    equal(this.#queue.device.take(this.#queue.chain), false, 'available at the end');
  }

  #add(): void {
    const { driver, dataStart } = this.#queue;
    if (driver.free === 0) return;
    const random = this.#random;
    const tag = random.below(2);
    const segment = () => [dataStart + 4096 + random.below(32768), random.below(2000)] as const;
    const kind = random.below(3);
    if (kind === 0) {
      const [addr, len] = segment();
      const id = driver.addReadable(addr, len, tag);
      const shorter = random.oneIn(3) ? random.below(len + 1) : len;
      if (shorter !== len) driver.shortenLast(shorter);
      this.#added.push({ id, tag, descriptors: 1, elements: [[addr, shorter, 0]] });
      return;
    }
    const count = 1 + random.below(Math.min(driver.size, kind === 1 ? driver.free : 16));
    const readable = random.below(count + 1);
    const elements = Array.from({ length: count }, (_, i) => {
      return [...segment(), i < readable ? 0 : 1] as const;
    });
    if (kind === 1) {
      const segments = elements.map(([addr, len, writable]) => ({ addr, len, writable: writable === 1 }));
      this.#added.push({ id: driver.add(segments, tag), tag, descriptors: count, elements });
      return;
    }
    const id = driver.addIndirect(this.#writeTable(elements), count, tag);
    this.#added.push({ id, tag, descriptors: 1, elements });
  }

  /** Each buffer of the ring has its own table, found by how many were made. */
  #tables = 0;
  #writeTable(elements: Buffer['elements']): number {
    // 16 descriptors of 16 bytes, in the 16 KiB behind the payloads: 64 tables for at most 64 buffers.
    const at = this.#queue.dataStart + 40960 + (this.#tables++ % 64) * 256;
    elements.forEach(([addr, len, writable], i) => {
      this.#queue.words.set([addr, 0, len, writable << 17], at / 4 + i * 4);
    });
    return at;
  }

  #publish(): void {
    const descriptors = this.#added.reduce((sum, buffer) => sum + buffer.descriptors, 0);
    this.#queue.driver.publish();
    this.#published.push(...this.#added.splice(0));
    const told = descriptors > 0 && this.#queue.driver.needsNotification();
    this.#deviceWants -= descriptors;
    if (this.#deviceSleeps && descriptors > 0 && this.#deviceWants <= 0) {
      equal(told, true, 'a sleeping device is told of available buffers');
    }
    if (told) this.#deviceSleeps = false;
  }

  #take(): void {
    if (this.#deviceSleeps) return;
    const expected = this.#published.shift();
    const { device, chain } = this.#queue;
    const took = this.#random.oneIn(2) ? device.take(chain) : takeHot(device, chain);
    equal(took, expected !== undefined, 'take');
    if (expected === undefined) return;
    sameChain(this.#queue.chain, expected);
    this.#taken.push(expected);
  }

  #give(): void {
    if (this.#taken.length === 0) return;
    // Out of order only where nobody was promised order.
    const [buffer] = this.#taken.splice(this.#inOrder ? 0 : this.#random.below(this.#taken.length), 1);
    const written = this.#random.below(5000);
    this.#queue.device.addUsed(buffer!.id, buffer!.tag, buffer!.descriptors, written);
    this.#given.push({ buffer: buffer!, written });
    if (!this.#inOrder) this.#tellDriver();
  }

  #flush(): void {
    this.#queue.device.flushUsed();
    if (this.#given.length > 0) this.#tellDriver();
  }

  #tellDriver(): void {
    const last = this.#given.length - 1;
    const shown = this.#given.splice(0);
    shown.forEach(({ buffer, written }, i) => {
      this.#driverWants -= buffer.descriptors;
      this.#used.push({ buffer, written: i === last ? written : null });
    });
    const told = this.#queue.device.needsNotification();
    if (this.#driverSleeps && this.#driverWants <= 0) {
      equal(told, true, 'a sleeping driver is told of used buffers');
    }
    if (told) this.#driverSleeps = false;
  }

  #takeUsed(): void {
    const used: UsedBuffer = { id: -1, len: -1 };
    const expected = this.#used.shift();
    equal(this.#queue.driver.takeUsed(used), expected !== undefined, 'takeUsed');
    if (expected === undefined) return;
    equal(used.id, expected.buffer.id, 'used ID');
    equal(used.len, expected.written ?? 0, 'used length');
    this.delivered++;
  }

  #reclaim(): void {
    if (!this.#inOrder || !this.#random.oneIn(3)) return;
    equal(this.#queue.driver.reclaim(), this.#used.length, 'reclaim');
    this.delivered += this.#used.splice(0).length;
  }

  #sleepDriver(): void {
    const after = this.#random.oneIn(2) ? 0 : 1 + this.#random.below(this.#outstandingDescriptors() || 1);
    const there = this.#queue.driver.enableNotifications(after);
    equal(there, this.#used.length > 0, 'used buffers there on enabling');
    this.#driverSleeps = !there;
    this.#driverWants = after;
  }

  #sleepDevice(): void {
    const after = this.#random.oneIn(2) ? 0 : 1 + this.#random.below(this.#queue.driver.size);
    const there = this.#queue.device.enableNotifications(after);
    equal(there, this.#published.length > 0, 'available buffers there on enabling');
    this.#deviceSleeps = !there;
    this.#deviceWants = after;
  }

  #awake(): void {
    if (this.#random.oneIn(2)) {
      this.#queue.driver.disableNotifications();
      this.#driverSleeps = false;
    } else {
      this.#queue.device.disableNotifications();
      this.#deviceSleeps = false;
    }
  }

  #outstandingDescriptors(): number {
    return [
      this.#added,
      this.#published,
      this.#taken,
      this.#given.map((g) => g.buffer),
      this.#used.map((u) => u.buffer),
    ]
      .flat()
      .reduce((sum, buffer) => sum + buffer.descriptors, 0);
  }

  #compare(): void {
    const { driver } = this.#queue;
    equal(driver.size - driver.free, this.#outstandingDescriptors(), 'descriptors that are not free');
    const buffers = this.#added.length + this.#published.length + this.#taken.length;
    equal(driver.outstanding, buffers + this.#given.length + this.#used.length, 'outstanding');
  }
}

function equal(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${actual} instead of ${expected}`);
}

function sameChain(chain: DescriptorChain, expected: Buffer): void {
  equal(chain.id, expected.id, 'ID');
  equal(chain.tag, expected.tag, 'tag');
  equal(chain.descriptors, expected.descriptors, 'descriptors');
  equal(chain.count, expected.elements.length, 'elements');
  expected.elements.forEach(([addr, len, writable], i) => {
    equal(chain.addrs[i], addr, `address ${i}`);
    equal(chain.lens[i], len, `length ${i}`);
    equal(chain.writable[i], writable, `writable ${i}`);
  });
  equal(chain.addr, expected.elements[0]![0], 'first address');
}

t.test('nothing is lost, duplicated or reordered, counts agree and no sleeper is missed', async (t) => {
  const seed = testSeed();
  let delivered = 0;
  for (let run = 0; run < RUNS; run++) {
    const model = new Model(new Random(seed + run));
    try {
      for (let step = 0; step < STEPS; step++) model.step();
      model.drain();
    } catch (error) {
      t.fail(`run with IVSHMEM_TEST_SEED=${seed + run}: ${(error as Error).stack}`);
      return;
    }
    delivered += model.delivered;
  }
  t.ok(delivered > RUNS * 5, `${delivered} buffers went round`);
});

t.test('IDs follow the buffers over a hundred thousand laps', async (t) => {
  const queue = queuePair(2);
  const used = { id: -1, len: 0 };
  for (let i = 0; i < 200_000; i++) {
    const id = queue.driver.addReadable(queue.dataStart, 1, 0);
    if (id !== (i & 1)) t.fail(`ID ${id} for buffer ${i}`);
    queue.driver.publish();
    queue.device.take(queue.chain);
    queue.device.addUsed(queue.chain.id, 0, 1, 0);
    queue.device.flushUsed();
    if (!queue.driver.takeUsed(used) || used.id !== id) t.fail(`buffer ${i} did not come back`);
  }
  t.equal(queue.driver.free, 2);
});
