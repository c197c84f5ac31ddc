import { setTimeout as delay } from 'node:timers/promises';
import { type Channel, interrupt, type Membership, open, type Region } from '../../../src/index.ts';
import { now } from '../clock.ts';
import { type Gap, Gaps } from '../gaps.ts';
import { serve } from './serve.ts';

// A member that exchanges messages without a pause, answers such messages, or makes requests without a pause, while the server is
// restarted. Arguments: the server's socket, the member's name.
const [socket, name] = process.argv.slice(2);
const service = 'bench-restart';
const bytes = 64;
/** Between an answer and the next request: a server that is asked all the time is not what is measured. */
const PAUSE_MS = 1;

let region: Region | undefined;
let gaps = new Gaps();
let failure: unknown;

/** Sends a message back for each that comes; the sleeping pair leaves processors to the server that starts. */
function answer(channel: Channel): void {
  channel.serve((message) => {
    const room = channel.reserve(message.length);
    if (room === null) throw new Error('no room for one reply');
    channel.outgoing.words[room.offset >> 2] = channel.incoming.words[message.offset >> 2]!;
    channel.commit();
  });
}

function exchange(channel: Channel): void {
  let sequence = 0;
  const ask = () => {
    const room = channel.reserve(bytes);
    if (room === null) throw new Error('no room for one message');
    channel.outgoing.words[room.offset >> 2] = ++sequence;
    channel.commit();
  };
  channel.serve((message) => {
    if (channel.incoming.words[message.offset >> 2] !== sequence)
      throw new Error(`reply ${sequence} is wrong`);
    gaps.add(now());
    ask();
  });
  channel.onEnd((end) => {
    failure = new Error(`the channel ended: ${end}`);
  });
  ask();
}

async function request(membership: Membership): Promise<void> {
  for (let n = 0; ; n++) {
    await membership.describe({ labels: { beat: String(n % 1000) } });
    gaps.add(now());
    await delay(PAUSE_MS);
  }
}

serve({
  ready: async () => {
    region = await open({ socket, name, wait: interrupt });
  },
  answer: async () => {
    const listener = await region!.listen(service);
    void (async () => {
      for await (const channel of listener) answer(channel);
    })();
  },
  exchange: async () => exchange(await region!.connect(service)),
  request: async () => {
    request(await region!.membership()).catch((error: unknown) => {
      failure = error;
    });
  },
  begin: () => {
    gaps = new Gaps();
  },
  /** The longest gap since a time. */
  end: (since: number): Gap => {
    if (failure !== undefined) throw failure;
    return gaps.longest(since, now());
  },
});
