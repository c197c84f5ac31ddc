import t from 'tap';
import { binding } from '../../src/native/binding.ts';
import { linkedBackends } from '../../src/testing/linked-backends.ts';

t.test('peers share memory and ring each other', async (t) => {
  const [one, two, three] = linkedBackends(3, 1 << 20);
  t.same(
    [one, two, three].map((peer) => peer!.ivPosition),
    [0, 1, 2],
  );
  new Int32Array(one!.memory.buffer)[100] = 7;
  t.equal(new Int32Array(three!.memory.buffer)[100], 7);
  one!.ring(2, 1);
  t.equal(binding.eventfdDrain(three!.interrupts[1]!), 1);
  t.equal(binding.eventfdDrain(two!.interrupts[1]!), 0);
  one!.ring(9, 0);
  one!.ring(1, 9);

  let removed = 0;
  three!.onRemoved(() => removed++);
  three!.unplug();
  three!.unplug();
  t.equal(removed, 1);
  t.equal(new Int32Array(three!.memory.buffer)[100], 0, 'zero pages');
  t.equal(new Int32Array(two!.memory.buffer)[100], 7, 'the others keep theirs');
  one!.ring(2, 1);
  t.equal(binding.eventfdDrain(three!.interrupts[1]!), 0);
  for (const peer of [one, two, three, three]) peer!.close();
  one!.ring(1, 0);
  t.equal(one!.memory.byteLength, 0);
});

t.test('without vectors', async (t) => {
  const [only] = linkedBackends(1, 4096, { vectors: 0 });
  t.same(only!.interrupts, []);
  only!.close();
});
