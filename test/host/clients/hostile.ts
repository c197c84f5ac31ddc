import t from 'tap';
import { createServer } from '../../../src/host/index.ts';
import { MEMBER_W, PAGE_BYTES, SERVER_SLOT, STATUS_OK } from '../../../src/memory/layout.ts';
import { binding } from '../../../src/native/binding.ts';
import { until } from '../../support/protocol/until.ts';
import { Random, testSeed } from '../../support/random.ts';
import { RawMember } from '../../support/raw-member.ts';

t.test('a member that writes over every byte of the region harms no server', async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  const socket = `@ivshmem-hostile-${process.pid}`;
  const region = { name: 'hostile', socket, size: '1M', slots: 8, channels: 64 };
  const server = await createServer({ regions: [region] });
  t.teardown(() => server.close());
  const hostile = await RawMember.join(socket);
  t.teardown(() => hostile.die());
  const victim = await RawMember.join(socket);
  t.teardown(() => victim.die());
  const tables = (hostile.header.heapPage * PAGE_BYTES) / 4;
  const free = server.status().regions[0]!.freeHeapBytes;

  for (let round = 0; round < 400; round++) {
    if (random.oneIn(20)) hostile.words.fill(random.pick([0, -1, random.bits()]), 0, tables);
    for (let hits = 0; hits < 50; hits++) hostile.words[random.below(tables)] = random.bits();
    // Plausible operations with random operands, in every slot's mailbox.
    for (let slot = 1; slot < 8; slot++) {
      const at = hostile.block(slot) + MEMBER_W.request;
      hostile.words[at + 1] = random.below(12);
      if (random.oneIn(2)) hostile.words.set([8, PAGE_BYTES, 0], at + 2);
      hostile.words[at] = random.bits();
      hostile.ringServer(slot);
    }
    hostile.ringServer(random.below(16384));
    binding.eventfdSignal(hostile.backend.interrupts[0]!);
    if (random.oneIn(4)) await new Promise((resolve) => setImmediate(resolve));
  }

  hostile.die();
  victim.die();
  await until('the server sees both ends', () => server.status().regions[0]!.members.length === 0);
  const after = server.status().regions[0]!;
  t.same([after.channels, after.freeHeapBytes], [0, free], `nothing is lost (seed ${seed})`);
});

t.test("the server serves although its 'armed' word was taken away", async (t) => {
  const socket = `@ivshmem-disarmed-${process.pid}`;
  const server = await createServer({ regions: [{ name: 'disarmed', socket, size: '1M' }] });
  t.teardown(() => server.close());
  const member = await RawMember.join(socket);
  t.teardown(() => member.die());
  member.words[member.block(SERVER_SLOT) + MEMBER_W.armed] = 0;
  t.equal((await member.hello('quiet'))[0], STATUS_OK);
});
