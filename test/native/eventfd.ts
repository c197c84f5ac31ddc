import { closeSync, openSync, readSync } from 'node:fs';
import t from 'tap';
import { binding } from '../../src/native/binding.ts';

t.test('signals add up and a drain resets them', async (t) => {
  const fd = binding.eventfdCreate();
  t.teardown(() => closeSync(fd));
  t.equal(binding.eventfdDrain(fd), 0);
  for (let i = 0; i < 5; i++) binding.eventfdSignal(fd);
  t.equal(binding.eventfdDrain(fd), 5);
  t.equal(binding.eventfdDrain(fd), 0);
  t.throws(() => readSync(fd, Buffer.alloc(8)), { code: 'EAGAIN' }, 'it is non-blocking');
});

t.test('other descriptors give typed errors', async (t) => {
  const file = openSync('/proc/self/status', 'r');
  t.throws(() => binding.eventfdSignal(file), { code: 'EBADF', syscall: 'write' });
  closeSync(file);
  t.throws(() => binding.eventfdDrain(file), { code: 'EBADF', syscall: 'read' });
});
