import t from 'tap';
import {
  fillSmall,
  largeIsRight,
  makeLarge,
  smallIsRight,
  stampLarge,
} from '../../bench/contestants/content.ts';
import { MessageReader } from '../../bench/contestants/message-reader.ts';
import { execute } from '../../bench/harness/execute.ts';
import { judge } from '../../bench/harness/report.ts';
import { makeRows } from '../../bench/harness/rows.ts';
import { placementOf } from '../../bench/harness/schedule.ts';
import { median, randomSource, shuffled } from '../../bench/harness/statistics.ts';
import type { Benchmark, HostSample } from '../../bench/harness/types.ts';
import { othersShare } from '../../src/study/cpu-time.ts';

const benchmark: Benchmark = {
  id: 'x',
  metric: 'm',
  unit: 'ns',
  better: 'lower',
  contestants: ['ours', 'floor', 'gone'].map((name) => ({ name, command: [] })),
  target: { baselineName: 'floor', ratio: 2 },
};

function sample(name: string, value: number): HostSample {
  return {
    id: 'x',
    name,
    round: 1,
    value,
    batches: [value],
    lineNs: 100,
    placement: 'mid',
    others: 0,
    retries: 0,
  };
}

t.test(
  'rows hold medians, their ratio and the raw samples; a baseline without samples makes no row',
  async (t) => {
    const samples = [sample('ours', 30), sample('floor', 10), sample('ours', 10), sample('ours', 20)];
    const rows = makeRows([benchmark], samples);
    t.strictSame(rows, [
      {
        id: 'x',
        metric: 'm',
        unit: 'ns',
        better: 'lower',
        ours: 20,
        baseline: 10,
        baselineName: 'floor',
        ratio: 2,
        samples: { ours: [30, 10, 20], baseline: [10] },
      },
    ]);
    t.match(judge(benchmark, rows), /: met/);
    t.match(judge({ ...benchmark, target: { baselineName: 'floor', ratio: 1.9 } }, rows), /MISSED/);
    t.match(judge({ ...benchmark, better: 'higher' }, rows), /: met/);
    t.equal(judge(benchmark, []), undefined);
    t.strictSame(makeRows([benchmark], [sample('floor', 1)]), [], 'no row without the product');
  },
);

t.test('the order is random, complete and repeatable from its seed', async (t) => {
  const items = Array.from({ length: 20 }, (_, i) => i);
  const order = shuffled(items, randomSource(7));
  t.not(order.join(), items.join());
  t.strictSame(
    [...order].sort((a, b) => a - b),
    items,
  );
  t.strictSame(shuffled(items, randomSource(7)), order);
  t.not(shuffled(items, randomSource(8)).join(), order.join());
});

t.test('median of odd and even counts', async (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 2, 3]), 2.5);
});

t.test('placement and the share of others', async (t) => {
  t.strictSame([53, 118, 490].map(placementOf), ['near', 'mid', 'far']);
  const share = othersShare({ busy: 100, own: 50, atMs: 0 }, { busy: 300, own: 200, atMs: 1000 });
  t.equal(share, 0.5);
});

t.test('content that is wrong in one word is found', async (t) => {
  const small = new Int32Array(48);
  fillSmall(small, 16, 0x7fffffff);
  t.ok(smallIsRight(small, 16, 0x7fffffff));
  for (let w = 16; w < 32; w++) {
    const wrong = small.slice();
    wrong[w]! ^= 1;
    t.notOk(smallIsRight(wrong, 16, 0x7fffffff), `word ${w - 16}`);
  }
  const large = makeLarge();
  stampLarge(large, 0, 9);
  t.ok(largeIsRight(large, 0, 9, false));
  t.ok(largeIsRight(large, 0, 9, true));
  t.notOk(largeIsRight(large, 0, 8, true));
  large[160]! ^= 1;
  t.notOk(largeIsRight(large, 0, 9, false));
});

t.test('messages are cut from a stream wherever it was split', async (t) => {
  const bytes = new Uint8Array(64 * 50);
  const words = new Int32Array(bytes.buffer);
  for (let i = 0; i < 50; i++) fillSmall(words, i * 16, i);
  const random = randomSource(1);
  let next = 0;
  const { onread } = new MessageReader(64, 256, (at, offset) => {
    t.ok(smallIsRight(at, offset, next), `message ${next}`);
    next++;
  });
  for (let sent = 0; sent < bytes.length; ) {
    const room = onread.buffer();
    const piece = bytes.subarray(sent, sent + Math.ceil(random() * room.length));
    room.set(piece);
    onread.callback(piece.length);
    sent += piece.length;
  }
  t.equal(next, 50);
});

t.test('a contestant gives its last line; one that fails says why', async (t) => {
  const node = (code: string) => [process.execPath, '-e', code];
  const result = await execute(
    node('console.log("noise\\n" + JSON.stringify({value: 2, unit: "ns", batches: [2]}))'),
  );
  t.equal(result.value, 2);
  await t.rejects(execute(node('console.error("why"); process.exit(3)')), { message: 'ended with 3: why' });
  await t.rejects(execute(node('console.log("nothing")')), { message: /printed no result/ });
  await t.rejects(execute(['/nonexistent/contestant']), { code: 'ENOENT' });
});
