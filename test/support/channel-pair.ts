import { buildChannel } from '../../src/channel/build.ts';
import type { Channel } from '../../src/channel/channel.ts';
import type { ChannelHost } from '../../src/channel/channel-host.ts';
import type { ChannelRecord } from '../../src/channel/record.ts';
import { channelLayout } from '../../src/memory/layout.ts';

/** A ChannelHost without a region: marks are flags, and the test says when they are served. */
export class FakeHost implements ChannelHost {
  channel: Channel | null = null;
  other: FakeHost | null = null;
  marked = false;
  /** Somebody waits while positive; a real region's loop runs only then. */
  waiters = 0;
  notified = 0;
  posted = 0;
  released = 0;
  unrefs = 0;
  polls = 0;
  onPoll: () => void = () => {};

  notifyPeer(): void {
    this.notified++;
    if (this.other !== null) this.other.marked = true;
  }

  postSelf(): void {
    this.posted++;
    this.marked = true;
  }

  poll(): void {
    this.polls++;
    this.onPoll();
  }

  waiting(change: 1 | -1): void {
    this.waiters += change;
    if (this.waiters < 0) throw new Error('waiting went below zero');
  }

  unref(): void {
    this.unrefs++;
  }

  release(): void {
    this.released++;
  }

  /** Serves the mark if there is one and somebody waits, as the region's loop does. */
  serve(): boolean {
    if (!this.marked || this.waiters === 0) return false;
    this.marked = false;
    this.channel?.signal();
    return true;
  }
}

export interface ChannelPair {
  readonly memory: ArrayBuffer;
  readonly a: Channel;
  readonly b: Channel;
  readonly hostA: FakeHost;
  readonly hostB: FakeHost;
  readonly record: ChannelRecord;
  /** Serves marks and lets promises run until nothing moves. */
  settle(): Promise<void>;
}

export interface ChannelPairOptions {
  readonly queueSize?: number;
  readonly dataBytes?: number;
  readonly maxMessageBytes?: number;
  readonly offset?: number;
}

/** Both sides of a channel in one process: `a` connected, `b` accepted. */
export function channelPair(options: ChannelPairOptions = {}): ChannelPair {
  const { queueSize = 16, dataBytes = 4096, maxMessageBytes = 1 << 20, offset = 8192 } = options;
  const memory = new ArrayBuffer(offset + channelLayout(queueSize, dataBytes).bytes);
  const record: ChannelRecord = {
    number: 7,
    open: true,
    generation: 1,
    connector: 1,
    listener: 2,
    offset,
    queueSize,
    dataBytes,
    closed: 0,
    listenerId: 3,
  };
  const hostA = new FakeHost();
  const hostB = new FakeHost();
  const a = buildChannel(memory, record, 'connector', 'test', maxMessageBytes, hostA);
  const b = buildChannel(memory, record, 'listener', 'test', maxMessageBytes, hostB);
  Object.assign(hostA, { channel: a, other: hostB });
  Object.assign(hostB, { channel: b, other: hostA });
  const settle = async (): Promise<void> => {
    for (let quiet = 0; quiet < 3; ) {
      await new Promise((resolve) => setImmediate(resolve));
      const moved = [hostA.serve(), hostB.serve()].includes(true);
      quiet = moved ? 0 : quiet + 1;
    }
  };
  return { memory, a, b, hostA, hostB, record, settle };
}

/** `length` bytes that tell one message from another. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 0xff);
}

/** Takes all that is there for one side, `b` unless told otherwise, and releases it. */
export function drain(pair: ChannelPair, side: 'a' | 'b' = 'b'): number[][] {
  const got: number[][] = [];
  for (let message = pair[side].receive(); message !== null; message = pair[side].receive()) {
    got.push([...message.bytes]);
    pair[side].release(message);
  }
  return got;
}

/** Lets promises run to where they wait. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
