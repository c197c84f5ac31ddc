import { connect as connectTcp } from 'node:net';
import t from 'tap';
import type { EngineEvent } from '../../src/native/hosts-binding.ts';
import { Authority, withoutOpenssl } from '../host/hosts/support/certificates.ts';
import { Random } from '../support/random.ts';
import { PAGES, SpreadScene } from '../support/spread-scene.ts';
import { about, dial, frame, hello } from '../support/stranger.ts';

const skip = withoutOpenssl() ?? false;
/** More than sockets keep, and what an engine may keep for a host. */
const MOST_SENT = 256 << 20;

t.test('who is nobody that is expected is refused', { skip }, async (t) => {
  const scene = new SpreadScene(t);
  const [one, two] = await scene.form(2);
  await one!.do('expect', 3, 'node3');
  const port = scene.ports[0]!;
  const refused = async (why: RegExp, come: () => Promise<unknown>): Promise<void> => {
    const before = one!.events.length;
    await come();
    const { why: said } = await one!.event('refused', (event) => one!.events.indexOf(event) >= before);
    t.match(said, why);
  };
  const foreign = new Authority(scene.folder, 'foreign').issue('node3', 2, 'foreign3');
  const authority = scene.authority.issue('node3').authority;
  await refused(/handshake/, () => dial(port, { ...foreign, authority }));
  await refused(/not for node3/, async () =>
    (await dial(port, scene.authority.issue('other'))).write(hello(3)),
  );
  await refused(/not expected/, async () =>
    (await dial(port, scene.authority.issue('node4'))).write(hello(4)),
  );
  await refused(/another cluster/, async () =>
    (await dial(port, scene.authority.issue('node3'))).write(hello(3, 'x')),
  );
  await refused(/another protocol/, async () =>
    (await dial(port, scene.authority.issue('node3'))).write(frame(34)),
  );
  await refused(/handshake/, async () =>
    connectTcp(port, '127.0.0.1')
      .on('error', () => undefined)
      .end('GET /\r\n\r\n'),
  );
  await one!.do('fill', 1, 0, PAGES, 1);
  t.same(await two!.do('verify', 1, 0, PAGES, 1), [], 'the others go on');
});

t.test('a node with sound certificates that says nonsense', { skip }, async (t) => {
  const scene = new SpreadScene(t);
  const [one, two] = await scene.form(2);
  await one!.do('expect', 3, 'node3');
  const identity = scene.authority.issue('node3');
  const random = new Random(20_211);
  for (let round = 0; round < 12; round++) {
    const before = one!.events.length;
    const socket = await dial(scene.ports[0]!, identity);
    socket.write(hello(3));
    await one!.event('up', (event) => event.node === 3 && one!.events.indexOf(event) >= before);
    // A few that could be, about the space that is there, and then what cannot.
    for (let i = 0; i < random.below(20); i++) {
      const sound = frame(random.below(13));
      sound.writeUInt32LE(7, 8);
      sound.writeBigUInt64LE(1n, 16);
      sound.writeBigUInt64LE(BigInt(random.below(PAGES + 2)), 32);
      if (sound.readUInt8(4) !== 4) socket.write(sound);
    }
    socket.write(Buffer.from(Array.from({ length: 200 }, () => random.below(256))));
    await one!.event('down', (event) => event.node === 3 && one!.events.indexOf(event) >= before);
    socket.destroy();
  }
  await one!.do('fill', 1, 0, PAGES, 1);
  t.same(await two!.do('verify', 1, 0, PAGES, 1), [], 'the others go on');
});

const [GET, DONE, FLUSH, REPORT_END, ASK] = [0, 6, 10, 12, 36] as const;

t.test('a node that asks without end and reads nothing', { skip }, async (t) => {
  const scene = new SpreadScene(t);
  // Nobody is given up for silence before what waits for it is too much.
  const [one] = await scene.form(1, { patienceMs: 120_000 });
  await one!.do('expect', 3, 'node3');
  const identity = scene.authority.issue('node3');
  const asks = {
    // A member of this host that is not there, each time.
    'who is alive': [about(ASK, { page: 1n << 32n })],
    // It is told each time that it has the page.
    'for a page that it has': [about(GET, { right: 1 }), about(DONE, {})],
  };
  let epoch = 2n;
  for (const [what, frames] of Object.entries(asks)) {
    const before = one!.events.length;
    const since = (event: EngineEvent): boolean => one!.events.indexOf(event) >= before;
    // It is not read from: whatever the socket takes, and no more.
    const socket = await dial(scene.ports[0]!, identity);
    socket.write(hello(3));
    await one!.event('up', (event) => event.node === 3 && since(event));
    await one!.do('install', Number(epoch), 0b1001);
    for (const said of [FLUSH, REPORT_END]) socket.write(about(said, { epoch }));
    for (const asked of frames) asked.writeBigUInt64LE(epoch, 16);
    const many = Buffer.concat(Array.from({ length: 4096 }, () => frames).flat());
    let ended = false;
    const down = one!
      .event('down', (event) => event.node === 3 && since(event))
      .finally(() => {
        ended = true;
      });
    let most = 0;
    for (let sent = 0; !ended && sent < MOST_SENT; sent += many.length) {
      await new Promise((resolve) => socket.write(many, resolve));
      most = Math.max(most, (await one!.do<{ waiting: number } | null>('peer', 3))?.waiting ?? 0);
    }
    t.ok(ended, `${what}: it has an end`, { most });
    t.match((await down).why, /asks for more than it takes/);
    t.match(await one!.event('reject', since), { node: 3, space: 7 }, 'and is told of');
    socket.destroy();
    epoch++;
  }
  await one!.do('install', Number(epoch), 0b0001);
  await one!.do('fill', 1, 0, PAGES, 1);
  t.same(await one!.do('verify', 1, 0, PAGES, 1), [], 'the others go on');
});

t.test('a member that writes nonsense harms nobody else', { skip }, async (t) => {
  const [one, two] = await new SpreadScene(t).form(2);
  await one!.do('join');
  await one!.do('fill', 2, 0, 4, 9);
  // Word 1 is faultHead: more faults than the ring has.
  await one!.do('scribble', 2, 1, 100_000);
  const { slot, space } = await one!.event('broken');
  t.same([slot, space], [2, 7]);
  await one!.do('leave', 2);
  t.same(await two!.do('verify', 1, 0, 4, 9), [], 'what it had moves on');
  await one!.do('fill', 1, 0, PAGES, 1);
  t.same(await two!.do('verify', 1, 0, PAGES, 1), []);
});
