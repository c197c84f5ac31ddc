import t from 'tap';
import { admits, missingDescriptors, ownDescriptorLimit } from '../../src/host/admission.ts';

const client = { pid: 10, uid: 20, gid: 30 };

t.test('a rule matches when all it names match', async (t) => {
  t.ok(admits('any', client));
  t.notOk(admits([], client));
  t.ok(admits([{ uid: 20 }], client));
  t.ok(admits([{ uid: 1 }, { gid: 30 }], client));
  t.ok(admits([{ uid: 20, gid: 30, pid: 10 }], client));
  t.notOk(admits([{ uid: 20, gid: 31 }], client));
  t.notOk(admits([{ pid: 11 }], client));
});

t.test('descriptors a process lacks', async (t) => {
  const limit = ownDescriptorLimit();
  t.equal(missingDescriptors(process.pid, 1), 0);
  t.ok(missingDescriptors(process.pid, limit) > 0);
  t.equal(missingDescriptors(0x7fffffff, limit), 0, 'a process that cannot be looked at is not refused');
});
