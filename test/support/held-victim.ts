/**
 * What a member can hold when it dies, for members that kill themselves at a point of their choice: a process of the host
 * (held-program.ts) or one in a VM (test/vm/guest/held.ts).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Channel, isIvshmemError, type Region } from '../../src/index.ts';
import { MEMBER_BYTES, MEMBER_W, OP_CONNECT, PAGE_BYTES, SERVER_SLOT } from '../../src/memory/layout.ts';
import { post } from '../../src/memory/pending.ts';

const PART_OF = 48 << 20;
const SOUND_ASLEEP_MS = 500;
const LARGEST_BYTES = 1 << 20;

/** The body of a message that is lent to somebody else when its sender dies. */
export const SENT: Uint8Array = Uint8Array.from({ length: 5000 }, (_, i) => i & 0xff);

/** SIGKILL, here and now. */
export function die(): void {
  process.kill(process.pid, 'SIGKILL');
}

/** Makes one more until the server has no more to give, or refuses to. */
export async function exhaust(more: (n: number) => Promise<unknown>): Promise<void> {
  for (let n = 0; ; n++) {
    try {
      await more(n);
    } catch (error) {
      if (!isIvshmemError(error)) throw error;
      return;
    }
  }
}

/** A member that takes what it will never give back, with words of its own where an ordinary program has calls. */
export class Victim {
  readonly #region: Region;
  readonly #service: string;
  readonly #words: Int32Array;

  /** `service`: what its peers listen to. */
  constructor(region: Region, service: string) {
    this.#region = region;
    this.#service = service;
    this.#words = new Int32Array(region.device.memory);
  }

  connect(peer: string, options: object = {}): Promise<Channel> {
    return this.#region.connect(this.#service, { peer, ...options });
  }

  /** A message that is written and not committed. */
  async reserve(peer: string): Promise<void> {
    const channel = await this.connect(peer);
    channel.reserve(1000)!;
    channel.outgoing.bytes.fill(0x55, 0, 1000);
  }

  /** As many parts of a message as fit; the rest waits for room once this turn of the loop is over. */
  async sendParts(peer: string): Promise<void> {
    const channel = await this.connect(peer);
    void channel.write(new Uint8Array(PART_OF).fill(7));
  }

  /** A message that whoever gets it reads in place. */
  async send(peer: string, service = this.#service): Promise<void> {
    const channel = await this.#region.connect(service, { peer });
    channel.send(SENT);
  }

  /** Keeps the first message of each of `count` channels to a service of its own, so that their senders run out of room. */
  async keep(service: string, count: number, listening: () => void): Promise<void> {
    const listener = await this.#region.listen(service);
    listening();
    for (let n = 0; n < count; n++) await (await listener.accept())!.next();
  }

  /** Takes the `armed` of a peer it has a channel to, as whoever must ring does, and does not ring. */
  async takeArmedOf(peer: string): Promise<void> {
    const channel = await this.connect(peer);
    await this.takeArmed(channel.peer, channel.number);
  }

  async takeArmedOfServer(): Promise<void> {
    await this.takeArmed(SERVER_SLOT, this.#region.slot);
  }

  async takeArmed(slot: number, index: number): Promise<void> {
    // Who has just joined looks around for a while by itself.
    await delay(SOUND_ASLEEP_MS);
    while (!post(this.#words, this.#block(slot), index)) await delay(1);
  }

  /** Sets a channel's pending bit, and not the summary bit that leads to it. */
  markWithoutSummary(slot: number, channel: number): void {
    const at = this.#block(slot) + MEMBER_W.pending + (channel >>> 5);
    Atomics.or(this.#words, at, 1 << (channel & 31));
  }

  /** Words of a request in the mailbox; its number last, when it is sent. */
  writeRequest(sent: boolean): void {
    const at = this.#block(this.#region.slot) + MEMBER_W.request;
    this.#words.set([8, PAGE_BYTES], at + 2);
    this.#words[at + 1] = OP_CONNECT;
    if (sent) Atomics.add(this.#words, at, 1);
  }

  /** The channel memory that is left, down to the last channel of the smallest size. */
  async takeMemory(peer: string): Promise<void> {
    for (let dataBytes = LARGEST_BYTES; dataBytes >= PAGE_BYTES; dataBytes /= 2)
      await exhaust(() => this.connect(peer, { queueSize: 2, dataBytes }));
  }

  async takeNumbers(peer: string): Promise<void> {
    await exhaust(() => this.connect(peer, { queueSize: 2, dataBytes: PAGE_BYTES }));
  }

  #block(slot: number): number {
    const { memberPage } = this.#region.header;
    return (memberPage * PAGE_BYTES + slot * MEMBER_BYTES) / Int32Array.BYTES_PER_ELEMENT;
  }
}
