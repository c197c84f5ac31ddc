/** A program that writes whenever it may, and a kernel that takes everything at once: the loop has its turns all the same. */
import t from 'tap';
import { stateOf } from '../../src/net/socket.ts';
import { inTurn } from '../../src/net/turns.ts';
import { setScene } from './support/scene.ts';

t.setTimeout(240_000);
const PATIENCE_MS = 120_000;
const ENDLESS_BYTES = 2 ** 32;

t.test('what is done at once, for ever, is done in other turns of the loop now and then', async (t) => {
  let turned = false;
  setImmediate(() => {
    turned = true;
  });
  let bytes = 0;
  await new Promise<void>((resolve) => {
    const write = (): void => {
      bytes += 16 << 10;
      if (turned || bytes > ENDLESS_BYTES) resolve();
      else inTurn(16 << 10, () => process.nextTick(write));
    };
    write();
  });
  t.ok(turned);
  t.ok(bytes >= 64 << 10, 'not for a few bytes');
});

t.test('few bytes are done in the same turn, however long it takes', async (t) => {
  await new Promise(setImmediate);
  let done = 0;
  const WRITES = 50;
  for (let i = 0; i < WRITES; i++) {
    for (const began = performance.now(); performance.now() - began < 0.1; );
    inTurn(16, () => done++);
  }
  t.equal(done, WRITES);
});

t.test('a connection whose writer never waits comes back to shared memory', async (t) => {
  const { peer, shared } = await setScene(t);
  const socket = await shared(peer.slow);
  await peer.tell('read');
  const message = Buffer.alloc(64, 'm');
  const back = new Promise<string>((resolve) => {
    const deadline = performance.now() + PATIENCE_MS;
    // Looks at the path and at the clock itself: a timer might never come to its turn.
    const write = (): void => {
      while (socket.write(message));
      if (socket.path === 'shared-memory') resolve('shared memory');
      else if (performance.now() > deadline) resolve(socket.pathReason);
      else return;
      socket.removeListener('drain', write);
    };
    stateOf(socket).link!.session.leave('asked');
    socket.on('drain', write);
    write();
  });
  t.equal(await back, 'shared memory');
});
