/**
 * A node without other hosts, for tests of members: has a frame for every page, gives what is asked for, and takes away, refuses or keeps
 * waiting what a test says. It speaks the protocol of native/dsm/shared_layout.h honestly, as a member of the region whose memory it shares.
 */
import { attachmentOf } from '../../../src/channel/attachments.ts';
import { openSpace } from '../../../src/dsm/index.ts';
import { SPREAD, SPREAD_MAGIC } from '../../../src/dsm/spread/layout.ts';
import type { SpreadPlace } from '../../../src/dsm/spread/mapping.ts';
import type { Region } from '../../../src/index.ts';
import { PAGE_BYTES } from '../../../src/memory/layout.ts';
import { readSpaces } from '../../../src/memory/space-table.ts';
import { binding, type FdWatch } from '../../../src/native/binding.ts';

export interface Fault {
  readonly slot: number;
  readonly page: number;
  readonly count: number;
  readonly write: boolean;
}

export interface Order {
  readonly op: number;
  readonly page: number;
  readonly count: number;
  readonly right: number;
  readonly frame: number;
}

interface Member {
  opened: number;
  lent: number;
  taken: number;
  given: number;
  acknowledged: number;
  readonly queue: { order: Order; done: () => void }[];
  /** By number of the order. */
  readonly waiting: Map<number, () => void>;
}

export class NodeDouble {
  readonly place: SpreadPlace & { readonly node: { readonly slot: number; readonly vector: number } };
  readonly memory: Uint8Array;
  /** All that were taken, in their order. */
  readonly faults: Fault[] = [];
  /** Questions whether somebody is alive, which nobody answers. */
  asked = 0;
  /** What is done with a fault; `grant` by default. */
  onFault: (fault: Fault) => void = (fault) => this.grant(fault);
  /** Milliseconds that are lent to who asks; null: nobody is answered. */
  lend: number | null = SPREAD.longestLeaseMs;
  readonly #region: Region;
  readonly #words: Int32Array;
  readonly #members = new Map<number, Member>();
  readonly #slots: number;
  readonly #bell: number;
  readonly #watch: FdWatch;
  readonly #shift: number;

  /** Makes the allocation in a region, as a member of it. */
  static async start(region: Region, size: number, shift = 12): Promise<NodeDouble> {
    const attachment = attachmentOf(region);
    const slots = attachment.header.slots;
    const page = 2 ** shift;
    const framesOffset = Math.ceil(((1 + slots) * SPREAD.controlPage) / page) * page;
    const frames = Math.ceil(size / page);
    const name = `double-${region.slot}`;
    const bytes = framesOffset + frames * page;
    await openSpace(region, name, { size: bytes });
    const entry = readSpaces(attachment.words, attachment.header).find((space) => space.name === name)!;
    const at = (entry.firstPage + entry.systemPages) * PAGE_BYTES;
    return new NodeDouble(region, { at, bytes, size }, { framesOffset, frames, shift });
  }

  private constructor(
    region: Region,
    { at, bytes, size }: SpreadPlace,
    { framesOffset, frames, shift }: { framesOffset: number; frames: number; shift: number },
  ) {
    const { device, header } = attachmentOf(region);
    const vector = header.vectors - 1;
    this.#region = region;
    this.#shift = shift;
    this.#slots = header.slots;
    this.place = { at, bytes, size, node: { slot: region.slot, vector } };
    this.memory = new Uint8Array(device.memory, at + framesOffset, frames << shift);
    this.#words = new Int32Array(device.memory, at, framesOffset / 4);
    const control = new DataView(device.memory, at, SPREAD.controlPage);
    control.setBigUint64(SPREAD.magicOffset, SPREAD_MAGIC, true);
    control.setUint32(SPREAD.versionOffset, SPREAD.version, true);
    control.setUint32(SPREAD.pageShift, shift, true);
    control.setBigUint64(SPREAD.spacePages, BigInt(Math.ceil(size / 2 ** shift)), true);
    control.setBigUint64(SPREAD.framesOffset, BigInt(framesOffset), true);
    control.setBigUint64(SPREAD.frames, BigInt(frames), true);
    control.setBigUint64(SPREAD.membersOffset, BigInt(SPREAD.controlPage), true);
    control.setUint32(SPREAD.slots, this.#slots, true);
    this.#bell = device.takeVector(vector);
    this.#watch = new binding.FdWatch(this.#bell, () => this.#rung());
    this.#watch.start(true, false);
    this.#watch.ref();
    Atomics.store(this.#words, SPREAD.state / 4, SPREAD.stateServing);
    this.#rung();
  }

  /** What was asked for, in frames of the same numbers. */
  grant({ slot, page, count, write }: Fault): void {
    const right = write ? 2 : 1;
    void this.order(slot, { op: SPREAD.opMap, page, count, right, frame: page });
  }

  /** 1 lost, 2 fenced, 3 no such page. */
  fail({ slot, page, count }: Fault, failure: number): void {
    void this.order(slot, { op: SPREAD.opFail, page, count, right: failure, frame: 0 });
  }

  /** Resolves when the member has acknowledged. 0: nothing, 1: to read. */
  restrict(slot: number, page: number, count: number, right: 0 | 1): Promise<void> {
    return this.order(slot, { op: SPREAD.opRestrict, page, count, right, frame: 0 });
  }

  /** Resolves when it is done; never, if the member goes before. */
  order(slot: number, order: Order): Promise<void> {
    return new Promise((done) => {
      const member = this.#members.get(slot);
      if (member === undefined) return;
      member.queue.push({ order, done });
      this.#give(slot, member);
    });
  }

  /** Members that have it open. */
  get members(): number[] {
    return [...this.#members.keys()];
  }

  /** The slot's word, at an offset in bytes of its page. */
  word(slot: number, offset: number): number {
    return this.#pageOf(slot) + offset / 4;
  }

  get words(): Int32Array {
    return this.#words;
  }

  ring(slot: number): void {
    attachmentOf(this.#region).device.ring(slot, this.place.node.vector);
  }

  close(): void {
    this.#watch.close();
  }

  #pageOf(slot: number): number {
    return (SPREAD.controlPage * (1 + slot)) / 4;
  }

  #rung(): void {
    binding.eventfdDrain(this.#bell);
    const words = this.#words;
    Atomics.store(words, SPREAD.nodeArmed / 4, 0);
    for (;;) {
      let found = false;
      for (let word = 0; word * 32 < this.#slots; word++) {
        const bits = Atomics.exchange(words, SPREAD.summary / 4 + word, 0);
        for (let bit = 0; bit < 32; bit++) if ((bits & (1 << bit)) !== 0) this.#serve(word * 32 + bit);
        found ||= bits !== 0;
      }
      if (found) continue;
      // Sequentially consistent: a member sees this, or its bit is seen below.
      Atomics.store(words, SPREAD.nodeArmed / 4, 1);
      if (!this.#marked()) return;
      Atomics.store(words, SPREAD.nodeArmed / 4, 0);
    }
  }

  #marked(): boolean {
    const at = SPREAD.summary / 4;
    return this.#words
      .slice(at, at + this.#slots / 32 + 1)
      .some((_, i) => Atomics.load(this.#words, at + i) !== 0);
  }

  #serve(slot: number): void {
    const words = this.#words;
    const opened = Atomics.load(words, this.word(slot, SPREAD.opened));
    let member = this.#members.get(slot);
    if (member?.opened !== opened) {
      this.#members.delete(slot);
      member = { opened, lent: 0, taken: 0, given: 0, acknowledged: 0, queue: [], waiting: new Map() };
      if (opened !== 0) this.#members.set(slot, member);
      Atomics.store(words, this.word(slot, SPREAD.faultTail), 0);
      Atomics.store(words, this.word(slot, SPREAD.orderHead), 0);
      Atomics.store(words, this.word(slot, SPREAD.lease) + 1, 0);
      Atomics.store(words, this.word(slot, SPREAD.served), opened);
      this.#notify(slot);
      if (opened === 0) return;
    }
    this.#lend(slot, member);
    const acknowledged = Atomics.load(words, this.word(slot, SPREAD.ackTail));
    while (member.acknowledged < acknowledged) {
      member.waiting.get(member.acknowledged)?.();
      member.waiting.delete(member.acknowledged++);
    }
    const head = Atomics.load(words, this.word(slot, SPREAD.faultHead));
    while (member.taken < head) {
      const entry = SPREAD.faultRing + (member.taken++ % SPREAD.faultEntries) * SPREAD.entryBytes;
      const at = this.word(slot, entry);
      const fault = { slot, page: words[at]!, write: words[at + 2] === 1, count: words[at + 3]! };
      Atomics.store(words, this.word(slot, SPREAD.faultTail), member.taken);
      const access = words[at + 2]!;
      if (access === SPREAD.askCall) this.asked++;
      if (access === SPREAD.askCall || access === SPREAD.wakeCall) continue;
      this.faults.push(fault);
      this.onFault(fault);
    }
    this.#give(slot, member);
  }

  #lend(slot: number, member: Member): void {
    const words = this.#words;
    const asked = Atomics.load(words, this.word(slot, SPREAD.leaseAsked));
    if (asked === member.lent || this.lend === null) return;
    member.lent = asked;
    // One word: the member sees both or none.
    const longs = new BigUint64Array(words.buffer, words.byteOffset + this.word(slot, SPREAD.lease) * 4, 1);
    Atomics.store(longs, 0, (BigInt(asked) << 32n) | BigInt(this.lend));
    this.#notify(slot);
  }

  #give(slot: number, member: Member): void {
    let given = false;
    while (member.queue.length > 0 && member.given - member.acknowledged < SPREAD.orderEntries) {
      const { order, done } = member.queue.shift()!;
      const entry = SPREAD.orderRing + (member.given % SPREAD.orderEntries) * SPREAD.entryBytes;
      const at = this.word(slot, entry);
      this.#words[at] = order.page;
      this.#words[at + 1] = 0;
      this.#words[at + 2] = order.frame;
      this.#words[at + 3] = order.op | (order.right << 8) | (order.count << 16);
      member.waiting.set(member.given++, done);
      given = true;
    }
    if (!given) return;
    // Release: pairs with the member's acquire of orderHead.
    Atomics.store(this.#words, this.word(slot, SPREAD.orderHead), member.given);
    this.#notify(slot);
  }

  #notify(slot: number): void {
    if (Atomics.exchange(this.#words, this.word(slot, SPREAD.memberArmed), 0) === 1) this.ring(slot);
  }

  /** Bytes of a page of the space, as its frame has them. */
  bytes(page: number): Uint8Array {
    return this.memory.subarray(page << this.#shift, (page + 1) << this.#shift);
  }
}
