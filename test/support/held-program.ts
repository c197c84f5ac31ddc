/**
 * A member that kills itself, with SIGKILL, at a point of its choice: `held SOCKET SCENE [PEER | SLOT [CHANNEL]]`. It joins as
 * `victim`, listens to `victim` where the scene needs it, connects to `stay` of PEER (or of the member `stay`) where it needs that,
 * and says `ready` on stdout before the last step.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Channel, isIvshmemError, open, type Region } from '../../src/index.ts';
import { MEMBER_BYTES, MEMBER_W, OP_CONNECT, PAGE_BYTES, SERVER_SLOT } from '../../src/memory/layout.ts';
import { post } from '../../src/memory/pending.ts';

const [socket = '', scene = '', target = 'stay', bit = '0'] = process.argv.slice(2);
const PART_OF = 48 << 20;
const SOUND_ASLEEP_MS = 500;
const region = await open({ socket, name: 'victim' });
const words = new Int32Array(region.device.memory);
const block = (slot: number): number =>
  (region.header.memberPage * PAGE_BYTES + slot * MEMBER_BYTES) / Int32Array.BYTES_PER_ELEMENT;

function ready(): void {
  process.stdout.write('ready\n');
}

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}

/** Takes a sleeper's `armed`, as whoever must ring does, and never rings. */
async function takeArmed(slot: number, index: number): Promise<void> {
  // Who has just joined looks around for a while by itself.
  await delay(SOUND_ASLEEP_MS);
  while (!post(words, block(slot), index)) await delay(1);
  die();
}

const connect = (): Promise<Channel> => region.connect('stay', { peer: target });

/** Words of a request in the mailbox; its number last, when it is sent. */
function writeRequest(sent: boolean): void {
  const at = block(region.slot) + MEMBER_W.request;
  words.set([8, PAGE_BYTES], at + 2);
  words[at + 1] = OP_CONNECT;
  if (sent) Atomics.add(words, at, 1);
}

/** Joins or connects again and again until the server has no more to give. */
async function exhaust(more: (n: number) => Promise<unknown>): Promise<void> {
  for (let n = 0; ; n++) {
    try {
      await more(n);
    } catch (error) {
      if (!isIvshmemError(error)) throw error;
      return;
    }
  }
}

const scenes: Record<string, (region: Region) => Promise<void> | void> = {
  /** Between the exchange of a peer's `armed` and the doorbell. */
  async 'armed of a peer'() {
    const channel = await connect();
    ready();
    await takeArmed(channel.peer, channel.number);
  },
  /** The same with somebody it has no channel to. */
  async 'armed of a stranger'() {
    ready();
    await takeArmed(Number(target), 0);
  },
  async 'armed of the server'() {
    ready();
    await takeArmed(SERVER_SLOT, region.slot);
  },
  /** A channel's pending bit is set, the summary bit that leads to it is not. */
  'pending without summary'() {
    const index = Number(bit);
    Atomics.or(words, block(Number(target)) + MEMBER_W.pending + (index >>> 5), 1 << (index & 31));
    ready();
    die();
  },
  'a request half written'() {
    writeRequest(false);
    ready();
    die();
  },
  'a request sent without a doorbell'() {
    writeRequest(true);
    ready();
    die();
  },
  async 'a message reserved'() {
    const channel = await connect();
    channel.reserve(1000)!;
    channel.outgoing.bytes.fill(0x55, 0, 1000);
    ready();
    die();
  },
  /** Holds the first message it gets, so that the sender runs out of room. */
  async 'a message lent'() {
    const listener = await region.listen('victim');
    ready();
    const channel = (await listener.accept())!;
    await channel.next();
    process.stdout.write('holds\n');
    // The sender fills what is left, and waits.
    await delay(200);
    die();
  },
  async 'a message in parts'() {
    const channel = await connect();
    void channel.write(new Uint8Array(PART_OF).fill(7));
    // As much as fits is on its way; the rest waits for room.
    setImmediate(die);
  },
  /** Its message is lent to the peer when it dies. */
  async 'a message sent'() {
    const channel = await connect();
    channel.send(Uint8Array.from({ length: 5000 }, (_, i) => i & 0xff));
    ready();
    process.stdin.once('data', die);
  },
  async 'all slots'() {
    await exhaust((n) => open({ socket, name: `victim-${n}` }));
    ready();
    process.stdin.once('data', die);
  },
  async 'all memory'() {
    await exhaust(() => region.connect('stay', { peer: 'stay', dataBytes: 1 << 20 }));
    await exhaust(() => region.connect('stay', { peer: 'stay', queueSize: 2, dataBytes: PAGE_BYTES }));
    ready();
    process.stdin.once('data', die);
  },
  async 'all channel numbers'() {
    await exhaust(() => region.connect('stay', { peer: 'stay', queueSize: 2, dataBytes: PAGE_BYTES }));
    ready();
    process.stdin.once('data', die);
  },
};
await scenes[scene]!(region);
