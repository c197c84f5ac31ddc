import t from 'tap';
import { SpreadMember, serveSpread } from '../support/spread-member.ts';

const LIMIT = { timeout: 100_000 };

t.test('plain loads and stores: pages come once, and then nobody is asked', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t, { size: 1 << 20 });
  const [a, b] = [
    await SpreadMember.start(t, served.socket, node.place),
    await SpreadMember.start(t, served.socket, node.place),
  ];
  await a.run('fill', 3);
  t.equal(node.faults.length, 256, 'one for each page');
  t.ok(node.faults.every(({ write, count, slot }) => write && count === 1 && slot === a.slot));
  t.equal(new Int32Array(node.memory.buffer, node.memory.byteOffset)[1000], 3000, 'it is in the frames');
  t.equal(await a.run('wrong', 3), 0);
  t.equal(await b.run('wrong', 3), 0);
  t.equal(node.faults.length, 512);
  t.ok(node.faults.slice(256).every(({ write, slot }) => !write && slot === b.slot));
  await b.run('fill', 5);
  t.equal(node.faults.length, 768, 'what may be read is asked for once more to be written');
  t.equal(await a.run('wrong', 5), 0);
  t.match(await a.run('counts'), { readFaults: 0, writeFaults: 256, mapped: 256, restricted: 0, failed: 0 });
  t.match(await b.run('counts'), { readFaults: 256, writeFaults: 256, mapped: 512 });
  t.equal(node.faults.length, 768);
});

t.test('every way to the bytes', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const member = await SpreadMember.start(t, served.socket, node.place);
  t.strictSame(await member.run('ways'), [
    ['1.5', 'Infinity', '0', String(Math.PI)],
    '1122334455667788',
    'pages that move',
    true,
    '6',
    'pages that move',
    100,
    10 * 4096,
    0,
  ]);
  t.equal(Buffer.from(node.bytes(3)).toString('utf8', 0, 15), 'pages that move');
});

t.test('collections, WebAssembly, threads of the pool, workers', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t);
  const member = await SpreadMember.start(t, served.socket, node.place);
  t.equal(await member.run('gc', 100), 4950);
  t.same(await member.run('wasm'), ['RuntimeError', 'RuntimeError', 'RuntimeError']);
  node.bytes(200).forEach((_, i, page) => {
    page[i] = i % 251;
  });
  const before = node.faults.length;
  t.same(await member.run('pool', 200, 4), [true, true, true, true]);
  const asked = node.faults.slice(before);
  t.same([asked.length, asked[0]?.page], [1, 200], 'asked for once, whoever waits');
  await member.run('store', 0, 0);
  t.same(await member.run('workers', 2, 20_000), { sum: 60_000, slots: 2 });
});

t.test('pages of another size, and the end of a space that does not fill its last one', LIMIT, async (t) => {
  const { served, node } = await serveSpread(t, { size: 300_004, shift: 16 });
  const member = await SpreadMember.start(t, served.socket, node.place);
  await member.run('fill', 7);
  t.equal(node.faults.length, 5);
  t.equal(await member.run('wrong', 7), 0);
  t.same(await member.run('close'), [true, 0]);
  await member.run('reopen');
  t.equal(await member.run('wrong', 7), 0, 'the frames kept it');
});
