import t from 'tap';
import { Transactions } from '../../../src/host/records/transaction.ts';

t.test('records first, then the effects in order', async (t) => {
  const seen: unknown[] = [];
  const transactions = new Transactions({ append: (entries) => void seen.push(entries) });
  const result = transactions.run((tx) => {
    tx.after(() => seen.push('one'));
    tx.put('a', { n: 1 });
    tx.put('b', null);
    tx.put('a', { n: 2 });
    tx.after(() => seen.push('two'));
    t.same(seen, [], 'nothing before the commit');
    return 7;
  });
  t.equal(result, 7);
  t.same(seen, [
    [
      ['a', { n: 2 }],
      ['b', null],
    ],
    'one',
    'two',
  ]);
});

t.test('an action that changed no record appends nothing', async (t) => {
  let appended = 0;
  let ran = 0;
  const transactions = new Transactions({ append: () => void appended++ });
  transactions.run((tx) => tx.after(() => ran++));
  t.same([appended, ran], [0, 1]);
});

t.test('what cannot be kept is not shown', async (t) => {
  const full = new Error('no space');
  let ran = 0;
  const transactions = new Transactions({
    append: () => {
      throw full;
    },
  });
  t.throws(
    () =>
      transactions.run((tx) => {
        tx.put('a', {});
        tx.after(() => ran++);
      }),
    full,
  );
  t.throws(
    () =>
      transactions.run((tx) => {
        tx.after(() => ran++);
        throw full;
      }),
    full,
  );
  t.equal(ran, 0);
  transactions.run((tx) => tx.after(() => ran++));
  t.equal(ran, 1, 'and is not shown later either');
});

t.test('a transaction within an effect: its record at once, its effects after those under way', async (t) => {
  const seen: string[] = [];
  const transactions = new Transactions({
    append: (entries) => void seen.push(`+${entries.map(([key]) => key).join()}`),
  });
  transactions.run((tx) => {
    tx.put('outer', {});
    tx.after(() =>
      transactions.run((inner) => {
        inner.put('inner', {});
        inner.after(() => seen.push('inner effect'));
      }),
    );
    tx.after(() => seen.push('outer effect'));
  });
  t.same(seen, ['+outer', '+inner', 'outer effect', 'inner effect']);
});

t.test('an effect that throws does not keep the others from running at the next commit', async (t) => {
  const seen: string[] = [];
  const transactions = new Transactions(null);
  t.throws(() =>
    transactions.run((tx) => {
      tx.after(() => {
        throw new Error('broken');
      });
      tx.after(() => seen.push('left'));
    }),
  );
  transactions.run((tx) => tx.after(() => seen.push('next')));
  t.same(seen, ['left', 'next']);
});
