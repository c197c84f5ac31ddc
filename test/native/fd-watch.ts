import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { binding } from '../../src/native/binding.ts';
import { until } from './fixtures/until.ts';

t.test('tells readable and writable, stops, starts again and closes', async (t) => {
  const fd = binding.eventfdCreate();
  let readable = 0;
  let writable = 0;
  const watch = new binding.FdWatch(fd, (r, w) => {
    if (r) readable += binding.eventfdDrain(fd);
    if (w) writable++;
    if (w) watch.start(true, false);
  });
  watch.start(true, false);
  binding.eventfdSignal(fd);
  await until(() => readable === 1);
  t.equal(writable, 0);
  watch.start(true, true);
  await until(() => writable === 1);
  watch.stop();
  binding.eventfdSignal(fd);
  await until(() => true);
  t.equal(readable, 1, 'stopped');
  watch.start(true, false);
  await until(() => readable === 2);
  watch.close();
  watch.close();
  watch.stop();
  watch.ref();
  watch.unref();
  t.throws(() => watch.start(true, false), { code: 'EBADF' });
  t.equal(binding.eventfdDrain(fd), 0, 'the descriptor itself stays open');
  closeSync(fd);
});

t.test('two watches of one descriptor, and one whose descriptor is closed early', async (t) => {
  const fd = binding.eventfdCreate();
  const seen = [0, 0];
  const watches = [0, 1].map((i) => new binding.FdWatch(fd, () => seen[i]!++));
  for (const watch of watches) watch.start(true, false);
  binding.eventfdSignal(fd);
  closeSync(fd);
  await until(() => seen.every((times) => times > 0));
  for (const watch of watches) watch.close();
  t.pass();
});

t.test('a callback may close its own watch', async (t) => {
  const fd = binding.eventfdCreate();
  let calls = 0;
  const watch = new binding.FdWatch(fd, () => {
    calls++;
    watch.close();
  });
  watch.start(true, true);
  await until(() => calls === 1);
  await until(() => true);
  t.equal(calls, 1);
  closeSync(fd);
});

t.test('what cannot be watched is refused', async (t) => {
  const file = openSync('/proc/self/exe', 'r');
  t.throws(() => new binding.FdWatch(file, () => {}), { code: 'EPERM' });
  closeSync(file);
  t.throws(() => new binding.FdWatch(file, () => {}), { code: 'EBADF' });
});
