/** Channel events as a member reads them, over the real server: what is in shared memory is written by the test in its place. */
import t, { type Test } from 'tap';
import { createServer } from '../../src/host/index.ts';
import { type Channel, type Listener, open, type Region } from '../../src/index.ts';
import {
  CHANNEL_BYTES,
  CHANNEL_W,
  CONTROL_BIT,
  EVENT_ENTRIES,
  MEMBER_W,
  PAGE_BYTES,
} from '../../src/memory/layout.ts';
import { post } from '../../src/memory/pending.ts';
import { until } from '../support/protocol/until.ts';

let servers = 0;

interface Scene {
  readonly a: Region;
  readonly b: Region;
  readonly listener: Listener;
  readonly near: Channel;
  readonly far: Channel;
  /** Memory as `a` sees it, and where the block of `b` begins. */
  readonly words: Int32Array;
  readonly block: number;
  /** Puts a channel into the table as if the server had made it: `near` with another number, or another life. Its event is the next one. */
  forge(number: number): number;
  /** Has `b` look. */
  tell(): void;
}

/** A member `a` with a channel to a service of `b`. */
async function scene(t: Test): Promise<Scene> {
  const socket = `@ivshmem-events-test-${process.pid}-${servers++}`;
  const server = await createServer({ regions: [{ name: 'test', socket, size: '16M' }] });
  t.teardown(() => server.close());
  const [a, b] = [await open({ socket, name: 'a' }), await open({ socket, name: 'b' })];
  for (const region of [a, b]) t.teardown(() => region.close());
  const listener = await b.listen('service');
  const near = await a.connect('service');
  const far = (await listener.accept())!;
  const words = new Int32Array(a.device.memory);
  const block = ((a.header.memberPage + b.slot) * PAGE_BYTES) / 4;
  const entry = (number: number): number =>
    (a.header.channelTablePage * PAGE_BYTES + number * CHANNEL_BYTES) / 4;
  const forge = (number: number): number => {
    words.copyWithin(entry(number), entry(near.number), entry(near.number) + CHANNEL_BYTES / 4);
    words[entry(number) + CHANNEL_W.generation]!++;
    const count = words[block + MEMBER_W.eventCount]!;
    words[block + MEMBER_W.events + (count % EVENT_ENTRIES)] = number;
    return count;
  };
  const tell = (): void => {
    post(words, block, CONTROL_BIT);
    a.device.ring(b.slot, 0);
  };
  return { a, b, listener, near, far, words, block, forge, tell };
}

t.test('an event that the server writes over while it is read is not lost', async (t) => {
  const { listener, words, block, forge, tell } = await scene(t);
  const [made, nobodys] = [77, 76];
  const count = forge(made);
  for (let n = 1; n < EVENT_ENTRIES; n++)
    words[block + MEMBER_W.events + ((count + n) % EVENT_ENTRIES)] = nobodys;
  const full = count + EVENT_ENTRIES;
  words[block + MEMBER_W.eventCount] = full;
  // The server has one more event when `b` has just seen how many there are.
  const { load } = Atomics;
  t.teardown(() => {
    Atomics.load = load;
  });
  Atomics.load = ((array: Int32Array, index: number): number => {
    const value = load(array, index);
    if (index === block + MEMBER_W.eventCount && value === full) {
      words[block + MEMBER_W.events + (full % EVENT_ENTRIES)] = nobodys;
      words[block + MEMBER_W.eventCount] = full + 1;
    }
    return value;
  }) as typeof load;
  let accepted: Channel | null = null;
  void listener.accept().then((channel) => {
    accepted = channel;
  });
  tell();
  await until('the channel', () => accepted !== null, 10);
  t.equal(accepted!.number, made);
  t.equal(words[block + MEMBER_W.eventCount], full + 1, 'the race was staged');
});

t.test('who throws when told of an end does not cost the channel that has its number now', async (t) => {
  const { listener, near, far, words, block, forge, tell } = await scene(t);
  const caught = new Promise<Error>((resolve) => process.once('uncaughtException', resolve));
  far.onEnd(() => {
    throw new Error('told of the end');
  });
  words[block + MEMBER_W.eventCount] = forge(near.number) + 1;
  let accepted: Channel | null = null;
  void listener.accept().then((channel) => {
    accepted = channel;
  });
  tell();
  t.match(await caught, { message: 'told of the end' });
  await until('the next channel of that number', () => accepted !== null, 10);
  t.equal(accepted!.number, far.number);
  t.equal(accepted!.end, null);
});
