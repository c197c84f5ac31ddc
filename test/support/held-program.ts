/**
 * A member that kills itself, with SIGKILL, at a point of its choice: `held SOCKET SCENE [PEER | SLOT [CHANNEL]]`. It joins as
 * `victim`, listens to `victim` where the scene needs it, connects to `stay` of PEER (or of the member `stay`) where it needs that,
 * and says `ready` on stdout before the last step.
 */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { open } from '../../src/index.ts';
import { die, exhaust, Victim } from './held-victim.ts';

const [socket = '', scene = '', target = 'stay', bit = '0'] = process.argv.slice(2);
const region = await open({ socket, name: 'victim' });
const victim = new Victim(region, 'stay');

function ready(): void {
  process.stdout.write('ready\n');
}

/** Says so, and waits to be told. */
async function released(): Promise<void> {
  ready();
  await once(process.stdin, 'data');
}

/** After each of them it dies. */
const scenes: Record<string, () => Promise<void> | void> = {
  /** Between the exchange of a peer's `armed` and the doorbell. */
  async 'armed of a peer'() {
    ready();
    await victim.takeArmedOf(target);
  },
  /** The same with somebody it has no channel to. */
  async 'armed of a stranger'() {
    ready();
    await victim.takeArmed(Number(target), 0);
  },
  async 'armed of the server'() {
    ready();
    await victim.takeArmedOfServer();
  },
  'pending without summary'() {
    victim.markWithoutSummary(Number(target), Number(bit));
    ready();
  },
  'a request half written'() {
    victim.writeRequest(false);
    ready();
  },
  'a request sent without a doorbell'() {
    victim.writeRequest(true);
    ready();
  },
  async 'a message reserved'() {
    await victim.reserve(target);
    ready();
  },
  async 'a message lent'() {
    await victim.keep('victim', 1, ready);
    process.stdout.write('holds\n');
    // The sender fills what is left, and waits.
    await delay(200);
  },
  async 'a message in parts'() {
    await victim.sendParts(target);
    // As much as fits is on its way.
    await new Promise(setImmediate);
  },
  /** Its message is lent to the peer when it dies. */
  async 'a message sent'() {
    await victim.send(target);
    await released();
  },
  async 'all slots'() {
    await exhaust((n) => open({ socket, name: `victim-${n}` }));
    await released();
  },
  async 'all memory'() {
    await victim.takeMemory(target);
    await released();
  },
  async 'all channel numbers'() {
    await victim.takeNumbers(target);
    await released();
  },
};
await scenes[scene]!();
die();
