/**
 * A member that stays: `survivor SOCKET NAME PEER`. It serves `echo` to everyone, and asks its peer all the time over channels
 * that must never end. One JSON line on stdout per event; orders on stdin: `ask` (opens the permanent channels), `report`,
 * `views FILE` (writes all events it saw), `stop` (asks no more), `close`.
 */
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type Channel, interrupt, open } from '../../../src/index.ts';
import { Random } from '../random.ts';
import type { SeenEvent } from './compare-views.ts';
import { tablesOf } from './tables.ts';
import { echo, fill, right } from './traffic.ts';

const [socket = '', name = '', peer = ''] = process.argv.slice(2);
const PAUSE_MS = 2;
const PERMANENT = 2;
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
/** How a test knows of anything that may not happen: a channel's end, a wrong answer, an exception. */
function harmed(why: unknown): void {
  say({ harmed: why instanceof Error ? why.stack : why });
  process.exit(1);
}
process.on('uncaughtException', harmed);
process.on('unhandledRejection', harmed);

const region = await open({ socket, name, wait: interrupt });
const random = new Random(region.slot);
let rounds = 0;
let closing = false;
const asking: Promise<void>[] = [];
const members = await region.membership();
/** Every event by its view, in a form that can be compared. */
const views = new Map<number, SeenEvent>();
void (async () => {
  let last = members.view;
  for await (const event of members) {
    const { type, view, member } = event;
    if (view <= last) return harmed(`view ${view} after view ${last}`);
    last = view;
    const reason = event.type === 'leave' ? event.reason : '';
    const { slot, epoch, name } = member;
    views.set(view, { what: `${type} ${reason}`, whom: `${slot} ${epoch} ${name}` });
  }
})().catch(harmed);
void echo(await region.listen('echo'));
say({ ready: true, slot: region.slot });

/** Asks until told to stop. */
async function ask(channel: Channel): Promise<void> {
  while (!closing) {
    const question = fill(random.oneIn(50) ? random.below(300_000) : random.below(2000), random.bits());
    const sent = await channel.write(question);
    const answer = sent ? await channel.next() : null;
    if (answer === null) return harmed(`a permanent channel ended: ${channel.end} ${channel.error ?? ''}`);
    if (!right(answer.copy(), question)) return harmed('a wrong answer on a permanent channel');
    channel.release(answer);
    rounds++;
    await delay(PAUSE_MS);
  }
}

const orders: Record<string, (path: string) => Promise<object> | object> = {
  async ask() {
    for (let i = 0; i < PERMANENT; i++)
      asking.push(ask(await region.connect('echo', { peer, queueSize: 64, dataBytes: 64 << 10 })));
    return { asking: PERMANENT };
  },
  report: () => ({ rounds, tables: tablesOf(region.device.memory), members: members.list().length }),
  views(path) {
    writeFileSync(path, JSON.stringify([...views]));
    return { views: views.size };
  },
  /** Ends the asking, so that the peer may close. */
  async stop() {
    closing = true;
    await Promise.all(asking);
    return { stopped: true };
  },
  async close() {
    await region.close();
    process.stdin.destroy();
    return { closed: true };
  },
};
createInterface({ input: process.stdin }).on('line', async (line) => {
  const [id, verb, path = ''] = line.split(' ');
  say({ order: Number(id), ...(await orders[verb!]!(path)) });
});
