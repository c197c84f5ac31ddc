import t from 'tap';
import { FrameReader, type FrameSink, frame } from '../../src/net/frames.ts';
import { DATA_HEADER_BYTES, decode, encode, putDataHeader } from '../../src/net/messages.ts';
import { Random, testSeed } from '../support/random.ts';

const seed = testSeed();

class Log implements FrameSink {
  readonly seen: string[] = [];
  data(offset: number, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) this.seen.push(`${offset + i}=${bytes[i]}`);
  }
  resume(epoch: number, received: number): void {
    this.seen.push(`resume ${epoch} ${received}`);
  }
  fin(offset: number): void {
    this.seen.push(`fin ${offset}`);
  }
  proof(epoch: number, proof: Uint8Array): void {
    this.seen.push(`proof ${epoch} ${Buffer.from(proof).toString('hex')}`);
  }
}

t.test('frames come out as they went in, however they are cut', (t) => {
  const random = new Random(seed);
  const far = 2 ** 40 + 3;
  const proof = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
  const stream = Buffer.concat([
    frame.data(far, 3),
    Buffer.from([7, 8, 9]),
    frame.proof(65535, proof),
    frame.resume(9, far),
    frame.data(0, 1),
    Buffer.from([1]),
    frame.fin(2 ** 53 - 1),
  ]);
  const wanted = [
    `${far}=7`,
    `${far + 1}=8`,
    `${far + 2}=9`,
    `proof 65535 ${proof.toString('hex')}`,
    `resume 9 ${far}`,
    '0=1',
    `fin ${2 ** 53 - 1}`,
  ];
  for (let run = 0; run < 200; run++) {
    const reader = new FrameReader();
    const log = new Log();
    for (let at = 0; at < stream.length; ) {
      const length = 1 + random.below(run % 40);
      if (reader.read(stream.subarray(at, at + length), log) !== null) t.fail('a fault');
      at += length;
    }
    if (log.seen.join() !== wanted.join()) t.same(log.seen, wanted, `seed ${seed} run ${run}`);
  }
  t.end();
});

t.test('hostile frames are refused, and nothing after them is read', (t) => {
  const bad = (change: (bytes: Uint8Array, view: DataView) => void): Uint8Array => {
    const bytes = frame.data(0, 1);
    change(bytes, new DataView(bytes.buffer));
    return bytes;
  };
  const table: [string, Uint8Array][] = [
    ['an unknown type', bad((bytes) => bytes.set([9]))],
    ['bits that are zero', bad((bytes) => bytes.set([1, 1]))],
    ['no data', bad((_, view) => view.setUint32(4, 0, true))],
    ['too much data', bad((_, view) => view.setUint32(4, 2 ** 31, true))],
    ['an offset beyond all streams', bad((_, view) => view.setUint32(12, 2 ** 21, true))],
    ['FIN with a payload', bad((bytes) => bytes.set([3]))],
    ['RESUME with a payload', bad((bytes) => bytes.set([2]))],
    ['a short proof', bad((bytes) => bytes.set([4]))],
  ];
  for (const [what, bytes] of table) {
    const reader = new FrameReader();
    const log = new Log();
    t.type(reader.read(bytes, log), 'string', what);
    t.type(reader.read(frame.fin(1), log), 'string', 'for good');
    t.same(log.seen, []);
  }
  t.end();
});

t.test('random bytes do not throw, and no more comes out than went in', (t) => {
  const random = new Random(seed);
  let faults = 0;
  for (let run = 0; run < 2000; run++) {
    const bytes = Uint8Array.from({ length: random.below(80) }, () =>
      random.below(random.oneIn(2) ? 20 : 256),
    );
    const log = new Log();
    if (new FrameReader().read(bytes, log) !== null) faults++;
    if (log.seen.length > bytes.length) t.fail(`${log.seen} of ${bytes} (seed ${seed} run ${run})`);
    if (bytes.length > 1) bytes[1] = 1;
    decode(bytes);
  }
  t.ok(faults > 500, `${faults} of 2000 were refused`);
  t.end();
});

t.test('messages of the channel', (t) => {
  const nonce = Uint8Array.from({ length: 16 }, (_, i) => i);
  const tuple = { localAddress: 'fe80::1%eth0', localPort: 65535, remoteAddress: '10.0.0.1', remotePort: 1 };
  const offer = encode.offer(3, true, nonce, tuple);
  t.same(decode(offer), { type: 'offer', epoch: 3, framed: true, nonce, tuple });
  t.same(decode(encode.accept(4, nonce, 2 ** 33)), { type: 'accept', epoch: 4, nonce, offset: 2 ** 33 });
  t.same(decode(encode.decline(5)), { type: 'decline', reason: 5 });
  t.same(decode(encode.armed()), { type: 'armed' });
  t.same(decode(encode.ready()), { type: 'ready' });
  const data = new Uint8Array(DATA_HEADER_BYTES + 2).fill(1);
  putDataHeader(new DataView(data.buffer), 0, 2 ** 34);
  t.same(decode(data), { type: 'data', offset: 2 ** 34, bytes: Uint8Array.of(1, 1) });
  for (let length = 0; length < offer.length; length++)
    if (decode(offer.subarray(0, length)) !== null) t.fail(`an offer of ${length} bytes`);
  const later = encode.ready();
  later[1] = 2;
  t.equal(decode(later), null, 'another version');
  t.end();
});
