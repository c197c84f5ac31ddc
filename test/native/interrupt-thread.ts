import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { binding } from '../../src/native/binding.ts';
import { until } from './fixtures/until.ts';

t.test('counts every signal of every vector and tells each once', async (t) => {
  const fds = [binding.eventfdCreate(), binding.eventfdCreate(), binding.eventfdCreate()];
  const told = [0, 0, 0];
  let calls = 0;
  const thread = new binding.InterruptThread(fds, (vector, count) => {
    told[vector]! += count;
    calls++;
  });
  for (let i = 0; i < 1000; i++) {
    binding.eventfdSignal(fds[0]!);
    if (i % 10 === 0) binding.eventfdSignal(fds[2]!);
  }
  // The loop did not turn while 1,100 signals came: all of them are in at most a few calls.
  await until(() => told[0] === 1000 && told[2] === 100);
  t.same(told, [1000, 0, 100]);
  t.same(thread.counts(), told);
  t.ok(calls < 100, `${calls} calls`);
  t.equal(thread.spurious(), 0);
  const before = calls;
  binding.eventfdSignal(fds[1]!);
  await until(() => told[1] === 1);
  t.equal(calls, before + 1);
  thread.close();
  thread.close();
  t.same(thread.counts(), [1000, 1, 100], 'still readable');
  for (const fd of fds) closeSync(fd);
});

t.test('a callback may close the thread; nothing is told afterwards', async (t) => {
  const fds = [binding.eventfdCreate(), binding.eventfdCreate()];
  let calls = 0;
  const thread = new binding.InterruptThread(fds, () => {
    calls++;
    thread.close();
  });
  for (const fd of fds) binding.eventfdSignal(fd);
  await until(() => calls > 0);
  for (const fd of fds) binding.eventfdSignal(fd);
  await until(() => true);
  t.equal(calls, 1);
  for (const fd of fds) closeSync(fd);
});

t.test('no vectors, and descriptors that are no eventfds', async (t) => {
  const none = new binding.InterruptThread([], () => {});
  t.same(none.counts(), []);
  none.ref();
  none.unref();
  none.close();
  const file = openSync('/dev/null', 'r+');
  t.throws(() => new binding.InterruptThread([file], () => {}), TypeError);
  closeSync(file);
  t.throws(() => new binding.InterruptThread([file], () => {}), { code: 'EBADF' });
});
