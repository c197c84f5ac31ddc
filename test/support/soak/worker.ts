/**
 * Members that come and go: `worker SOCKET NAME SEED CYCLES AT_ONCE`. One character on stdout per event: `j` joined, `l` left in
 * order, `r` had to ask again; then a JSON line with what the process itself has left. It may be killed at any time; `exit` on
 * stdin ends it without closing anything, `enough` has it finish early.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type Channel, interrupt, isIvshmemError, open, type Region } from '../../../src/index.ts';
import { MEMBER_W, OP_CLOSE, OP_CONNECT } from '../../../src/memory/layout.ts';
import { Random } from '../random.ts';
import { RawMember } from '../raw-member.ts';
import { echo, fill, right } from './traffic.ts';

const [socket = '', name = '', seed = '1', cycles = '1', atOnce = '1'] = process.argv.slice(2);
const random = new Random(Number(seed));
/** Services that members of all workers listen to, so that the short-lived talk to each other as well. */
const POOLS = ['pool-a', 'pool-b', 'pool-c'];
const SURVIVORS = ['stay-1', 'stay-2'];
/** Refused for want of a listener, of memory or of quota: what a member must live with where others come and go. */
const EXPECTED = new Set(['ERR_IVSHMEM_REFUSED']);
/** A member that leaves does not wait for what it has begun. */
const CLOSED = new Set(['ERR_IVSHMEM_CLOSED']);
const unless =
  (codes: ReadonlySet<string>) =>
  (error: unknown): void => {
    if (!isIvshmemError(error) || !codes.has(error.code)) throw error;
  };
const unlessClosed = unless(CLOSED);
const tell = (event: string): void => void process.stdout.write(event);

/** A server that is killed takes the connections with it that it has just accepted: who has not got a slot yet asks again. */
async function retry<T>(join: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await join();
    } catch (error) {
      if (!isIvshmemError(error, 'ERR_IVSHMEM_HOST_CLOSED')) throw error;
      tell('r');
    }
  }
}

interface Stay {
  readonly region: Region;
  readonly channels: Channel[];
}

/** Connects, asks some questions, and closes the channel or leaves it open. Peers may go meanwhile, except survivors. */
async function talk({ region, channels }: Stay, service: string, peer?: string): Promise<void> {
  const channel = await region.connect(service, {
    ...(peer === undefined ? {} : { peer }),
    queueSize: 8 << random.below(4),
    dataBytes: 4096 << random.below(7),
  });
  channels.push(channel);
  for (let i = random.below(6); i >= 0; i--) {
    // One in ten may be larger than the data area, and travels in parts.
    const question = fill(random.oneIn(10) ? random.below(200_000) : random.below(3000), random.bits());
    const sent = await channel.write(question);
    const answer = sent ? await channel.next() : null;
    if (answer === null && peer !== undefined) throw new Error(`${peer} ended the channel: ${channel.end}`);
    if (answer === null) return;
    if (!right(answer.copy(), question)) throw new Error(`a wrong answer from ${peer ?? service}`);
    // The last stays lent until the member goes.
    if (i > 0) channel.release(answer);
  }
  if (random.oneIn(4)) channel.reserve(1 + random.below(1000));
  else if (random.oneIn(2)) channel.close();
}

const actions: ((stay: Stay) => Promise<void>)[] = [
  (stay) => talk(stay, 'echo', random.pick(SURVIVORS)),
  (stay) => talk(stay, 'echo', random.pick(SURVIVORS)),
  (stay) => talk(stay, random.pick(POOLS)),
  async ({ region }) => {
    const listener = await region.listen(random.pick(POOLS));
    if (random.oneIn(3)) listener.close();
    else void echo(listener);
  },
  async ({ region }) => {
    const channel = await region.connect('echo', { queueSize: 2, dataBytes: 2 << 20 });
    channel.send(fill(100, 1));
  },
];

/** The rest of what a member can do, which takes no channel. */
const others: ((region: Region) => Promise<unknown>)[] = [
  async (region) => {
    const members = await region.membership();
    await members.describe({ addresses: [`10.0.0.${random.below(255)}`], labels: { n: `${random.bits()}` } });
    if (members.get('stay-1')?.state !== 'active') throw new Error('a member that stays is not there');
    if (random.oneIn(2)) members.close();
  },
  async (region) => {
    // Others come and go all the time; this member may be the last, and leaves then.
    for await (const { view } of await region.membership()) if (view > 0) break;
  },
  (region) => region.drain(),
];

/** A member in order: joins, does a few things at once, leaves. */
async function orderly(id: string): Promise<void> {
  const wait = random.oneIn(2) ? { wait: interrupt } : {};
  const region = await retry(() => open({ socket, name: id, ...wait }));
  tell('j');
  const stay = { region, channels: [] };
  const doing = Array.from({ length: 1 + random.below(5) }, () =>
    random.pick(actions)(stay).catch(unless(EXPECTED)),
  );
  if (random.oneIn(2)) void others[random.below(others.length)]!(region).catch(unlessClosed);
  await Promise.all(doing);
  await region.close(random.oneIn(8) ? { reason: 'migrated' } : {});
  tell('l');
}

/** A member that plays the mailbox by hand, and goes in the middle of a request, sent or only half written. */
async function disorderly(id: string): Promise<void> {
  const member = await retry(() => RawMember.join(socket));
  tell('j');
  await member.hello(id, 1 + random.below(2 ** 31));
  if (random.oneIn(2)) await member.listen(`raw-${id}`);
  if (random.oneIn(2)) await member.connect('echo', random.pick(SURVIVORS));
  const at = member.block() + MEMBER_W.request;
  member.words[at + 1] = random.pick([OP_CONNECT, OP_CLOSE]);
  member.words[at + 2] = random.bits();
  if (random.oneIn(2)) Atomics.add(member.words, at, 1);
  if (random.oneIn(2)) member.ringServer();
  member.die();
}

function ownResources(): { fds: number; maps: number } {
  const regions = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return {
    fds: readdirSync('/proc/self/fd').length,
    maps: regions.filter((line) => line.includes('memfd')).length,
  };
}

createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'exit') process.exit(0);
  if (line === 'enough') enough = true;
});
let next = 0;
let enough = false;
const series = async (): Promise<void> => {
  while (!enough && next < Number(cycles)) {
    const id = `${name}-${next++}`;
    await (random.oneIn(16) ? disorderly(id) : orderly(id));
  }
};
// What the first member makes the process open for good, as the loop's own descriptors, is there from then on.
await orderly(`${name}-first`);
const before = ownResources();
await Promise.all(Array.from({ length: Number(atOnce) }, series));
// Descriptors are closed by the loop, a turn after the member is.
for (let turn = 0; turn < 100 && ownResources().fds > before.fds; turn++) await delay(10);
process.stdout.write(`\n${JSON.stringify({ before, after: ownResources() })}\n`);
process.stdin.destroy();
