/** Every step of an attachment, and everything wrong that can be said there: the connection goes on, or is reset. */
import t from 'tap';
import { frame } from '../../src/net/frames.ts';
import { DATA_HEADER_BYTES, decode, type Message, putDataHeader } from '../../src/net/messages.ts';
import { Random } from '../support/random.ts';
import { type Side, World } from './support/world.ts';

const nonce = new Uint8Array(16);
const tuple = { localAddress: '1.1.1.1', localPort: 1, remoteAddress: '1.1.1.2', remotePort: 2 };

/** What a peer may say on the channel at any time. */
const SAID: readonly [string, Message | null][] = [
  ['nonsense', null],
  ['an offer', { type: 'offer', epoch: 1, framed: false, nonce, tuple }],
  ['an acceptance of its own making', { type: 'accept', epoch: 1, nonce, offset: 1000 }],
  ['an acceptance behind what came', { type: 'accept', epoch: 1, nonce, offset: 0 }],
  ['an acceptance of another offer', { type: 'accept', epoch: 77, nonce, offset: 0 }],
  ['decline', { type: 'decline', reason: 5 }],
  ['a reason of a later version', { type: 'decline', reason: 60_000 }],
  ['armed', { type: 'armed' }],
  ['ready', { type: 'ready' }],
  ['data ahead of everything', { type: 'data', offset: 2 ** 40, bytes: new Uint8Array(40_000) }],
];
/** What a peer may put into TCP; harmless data as long as that is not framed. */
const FRAMED: readonly [string, Uint8Array][] = [
  ['nonsense', new Uint8Array(64).fill(0xff)],
  ['data behind a gap', Buffer.concat([frame.data(2 ** 30, 4), Buffer.alloc(4)])],
  ['an end before what came', frame.fin(0)],
  ['a resumption of what never was', frame.resume(40, 0)],
  ['a resumption beyond what was sent', frame.resume(1, 2 ** 40)],
  ['a proof out of nothing', frame.proof(1, nonce)],
];
const STEPS = 9;

/** A world after so many messages and pieces of TCP of an attachment, with some bytes exchanged before. */
function atStep(step: number): World {
  const random = new Random(step);
  const world = new World(random);
  for (const side of world.sides) side.write(random, 100);
  world.settle();
  world.offer(4096);
  for (let n = 0; n < step; n++) {
    // One thing at a time, so that each step is stood on.
    if (world.message(1) || world.message(0) || world.tcp(1, 1 << 20)) continue;
    if (!world.tcp(0, 1 << 20)) break;
  }
  return world;
}

/** Goes on, lets deadlines pass, and says what became of it. */
function outcome(world: World): string {
  for (let n = 0; n < 4; n++) {
    for (const side of world.sides) {
      if (side.resetWhy === null && !side.session.outbound.busy) side.write(world.random, 100);
    }
    world.settle();
    for (const side of world.sides) if (side.deadlineMs > 0) side.session.expired();
    world.settle();
  }
  const { sides } = world;
  if (sides.some(({ resetWhy }) => resetWhy !== null)) return 'reset';
  const whole = (side: Side, peer: Side): boolean => side.read === peer.written && side.wrong === 0;
  return whole(sides[0], sides[1]) && whole(sides[1], sides[0]) ? 'goes on' : 'BYTES LOST';
}

t.test('on the channel', (t) => {
  let reset = 0;
  let fine = 0;
  for (let step = 0; step <= STEPS; step++) {
    for (const index of [0, 1] as const) {
      for (const [what, message] of SAID) {
        const world = atStep(step);
        const { session } = world.sides[index];
        const { state } = session;
        session.message(message);
        const found = outcome(world);
        if (found === 'reset') reset++;
        else if (found === 'goes on') fine++;
        else t.fail(`step ${step}, side ${index} (${state}), ${what}: ${found}`);
      }
    }
  }
  t.ok(fine > 10 * reset, `${fine} go on, ${reset} are reset`);
  t.end();
});

t.test('pieces of nothing, ahead of everything', (t) => {
  const header = new Uint8Array(DATA_HEADER_BYTES);
  putDataHeader(new DataView(header.buffer), 0, 2 ** 40);
  t.equal(decode(header), null, 'whoever kept them would keep them for ever');
  t.match(decode(Buffer.concat([header, Buffer.alloc(1)])), { type: 'data', offset: 2 ** 40 });
  t.end();
});

t.test('the peer is silent, or its channel ends, at every step', (t) => {
  for (let step = 0; step <= STEPS; step++) {
    for (const index of [0, 1] as const) {
      for (const what of ['expired', 'unplugged', 'closed'] as const) {
        const world = atStep(step);
        const side = world.sides[index];
        if (what === 'expired') side.session.expired();
        else if (what === 'unplugged') world.unplug(index);
        else side.line?.close();
        const found = outcome(world);
        // Its own proof was given, and the peer was never asked again.
        const allowed = what === 'expired' && found === 'reset';
        if (found !== 'goes on' && !allowed) t.fail(`step ${step}, side ${index}, ${what}: ${found}`);
      }
    }
  }
  t.pass();
  t.end();
});

t.test('in TCP, once it is framed', (t) => {
  for (const index of [0, 1] as const) {
    for (const [what, bytes] of FRAMED) {
      const world = atStep(100);
      const side = world.sides[index];
      t.equal(side.session.state, 'shared');
      side.session.tcp(bytes);
      const found = outcome(world);
      t.equal(found, what === 'a proof out of nothing' ? 'goes on' : 'reset', what);
      t.equal(side.wrong, 0, 'and nothing of it was delivered');
    }
  }
  t.end();
});

t.test('the wrong proof in TCP', (t) => {
  // What the acceptor writes is changed on its way: to the connector it is data, and the acceptor is never believed.
  const world = atStep(0);
  for (let n = 0; n < 50 && world.sides[1].session.state !== 'proved'; n++) {
    world.message(0);
    world.message(1);
  }
  t.equal(world.sides[1].session.state, 'proved');
  const proof = world.pipes[1].read(16)!;
  proof[15]! ^= 1;
  const [connector, acceptor] = world.sides;
  connector.session.tcp(proof);
  t.equal(connector.read, 116, 'they are data');
  t.equal(connector.session.state, 'none');
  t.equal(connector.reason, 'not-proven');
  acceptor.session.expired();
  t.match(acceptor.resetWhy, /proof/, 'and the connection that they are in ends');
  t.end();
});
