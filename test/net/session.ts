/** Two sessions over simulated paths: whatever is cut, lost or switched at whichever moment, every byte arrives once and in order. */
import t from 'tap';
import { Random, testSeed } from '../support/random.ts';
import { type Side, World } from './support/world.ts';

const seed = testSeed();
const STEPS = 3000;

function play(
  world: World,
  random: Random,
  options: { readonly lossy: boolean; readonly late: boolean; readonly most: number },
): void {
  const { sides } = world;
  const chunk = (): number => 1 + random.below(random.oneIn(4) ? options.most : 40);
  const finishAt = [random.below(2 * STEPS), random.below(2 * STEPS)];
  for (let step = 0; step < STEPS; step++) {
    for (const side of sides) {
      if (step >= finishAt[side.index]! && !side.finished && !side.session.outbound.busy) side.finish();
      if (!side.finished && !side.session.outbound.busy && random.oneIn(6)) side.write(random, chunk());
      side.full = random.oneIn(9);
    }
    const which = random.below(2) as 0 | 1;
    const action = random.below(40);
    if (action < 18) world.tcp(which, chunk());
    else if (action < 36) world.message(which);
    else if (action < 38) world.offer(64 + random.below(4096));
    else if (random.oneIn(3)) world.resize(64 + random.below(20_000));
    else if (options.late && random.oneIn(2)) late(sides[which]);
    else if (options.lossy && random.oneIn(2)) world.unplug(which);
    else sides[which].session.leave(random.oneIn(2) ? 'leaving' : 'idle');
  }
}

/** What this side waits for does not come in time; who took a proof and gave none is reset, and not meant here. */
function late({ session, deadlineMs }: Side): boolean {
  if (deadlineMs === 0 || session.state === 'proved') return false;
  session.expired();
  return true;
}

t.test(`random switches, losses, chunks and half-closes (seed ${seed})`, (t) => {
  let switches = 0;
  let halfClosed = 0;
  let resized = 0;
  for (let run = 0; run < 150; run++) {
    const random = new Random(seed + run);
    const world = new World(random);
    play(world, random, { lossy: run % 2 === 0, late: run % 5 === 0, most: run % 3 === 0 ? 20_000 : 300 });
    const [a, b] = world.sides;
    if (a.finished !== b.finished) halfClosed++;
    world.settle();
    for (const side of world.sides) {
      if (!side.finished) side.finish();
    }
    world.settle();
    for (const side of world.sides) if (late(side)) world.settle();
    for (const side of world.sides) if (late(side)) world.settle();
    switches += a.switches + b.switches;
    resized += world.resized;
    const found = [a.read, a.ended, a.wrong, a.resetWhy, b.read, b.ended, b.wrong, b.resetWhy];
    const wanted = [b.written, true, 0, null, a.written, true, 0, null];
    if (found.join() !== wanted.join()) {
      t.same(found, wanted, `run ${run}: ${a.session.state} ${b.session.state}`);
      return t.end();
    }
  }
  t.ok(switches > 1000, `${switches} switches`);
  t.ok(resized > 100, `${resized} channels took the place of others`);
  t.ok(halfClosed > 10, `${halfClosed} runs switched while half-closed`);
  t.end();
});

t.test('a connector that gave up and ended, and an acceptor that goes on', (t) => {
  for (const proves of [true, false]) {
    const world = new World(new Random(1));
    const [a, b] = world.sides;
    world.offer(4096);
    world.message(1);
    world.message(0);
    t.equal(a.session.state, 'armed');
    a.write(world.random, 100);
    a.finish();
    a.session.expired();
    t.notOk(world.pipes[0].ended, 'the proof may be on its way: the end waits');
    a.session.expired();
    t.ok(world.pipes[0].ended, 'but not for ever');
    // The acceptor hears ARMED before the end, and gives its proof, or the end before ARMED.
    if (proves) while (world.message(1));
    world.settle();
    t.same([b.session.state, b.deadlineMs], ['none', 0], 'nobody waits for a proof behind an end');
    b.write(world.random, 500);
    b.finish();
    world.settle();
    t.same([a.read, a.ended, a.wrong, a.resetWhy], [500, true, 0, null]);
    t.same([b.read, b.ended, b.wrong, b.resetWhy], [100, true, 0, null]);
  }
  t.end();
});

/** Two sides on shared memory. */
function attached(): World {
  const world = new World(new Random(1));
  world.offer(4096);
  world.settle();
  return world;
}

t.test('both leave at once, and the next offer is read before what TCP says of the last channel', (t) => {
  const world = attached();
  const [a, b] = world.sides;
  a.write(world.random, 500);
  b.write(world.random, 500);
  a.session.leave('asked');
  b.session.leave('asked');
  t.same([a.session.state, b.session.state], ['resuming', 'resuming']);
  t.same([a.session.obstacle, b.session.obstacle], ['busy', 'busy']);
  while (world.tcp(1, 1 << 20));
  t.ok(world.offer(4096), 'this side knows what the other has');
  while (world.message(1));
  t.same([a.session.state, b.session.state], ['offered', 'resuming'], 'which does not know it of this one');
  world.settle();
  t.same([a.read, b.read, a.resetWhy, b.resetWhy], [b.written, a.written, null, null]);
  t.same([a.session.outbound.path, b.session.outbound.path], ['tcp', 'tcp']);
  t.end();
});

t.test('what the receiver has not taken may be asked for again, after the end of the stream too', (t) => {
  for (const leaves of [false, true]) {
    const world = attached();
    const [a, b] = world.sides;
    let taken = false;
    a.write(world.random, 500);
    a.finish();
    a.session.outbound.whenTaken(() => {
      taken = true;
    });
    t.notOk(taken, 'it is in shared memory');
    if (leaves) world.unplug(1);
    else while (world.message(1));
    if (leaves) world.settle();
    t.ok(taken);
    world.settle();
    t.same([b.read, b.ended, b.wrong, b.resetWhy], [500, true, 0, null]);
  }
  t.end();
});
