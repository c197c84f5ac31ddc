import t from 'tap';
import { admit, missingDescriptors, ownDescriptorLimit } from '../../../src/host/region/admission.ts';

const client = { pid: 10, uid: 20, gid: 30 };

const nobody = () => 0;

t.test('a rule matches when all it names match', async (t) => {
  t.equal(admit('any', client, nobody), -1);
  t.equal(admit([], client, nobody), 'not_admitted');
  t.equal(admit([{ uid: 20 }], client, nobody), 0);
  t.equal(admit([{ uid: 1 }, { gid: 30 }], client, nobody), 1);
  t.equal(admit([{ uid: 20, gid: 30, pid: 10 }], client, nobody), 0);
  t.equal(admit([{ uid: 20, gid: 31 }], client, nobody), 'not_admitted');
  t.equal(admit([{ pid: 11 }], client, nobody), 'not_admitted');
});

t.test('a rule lets in no more clients than it has slots', async (t) => {
  const rules = [
    { uid: 20, slots: 2 },
    { gid: 30, slots: 1 },
  ];
  const held = [1, 0];
  const at = (rule: number): number => held[rule]!;
  t.equal(admit(rules, client, at), 0);
  held[0] = 2;
  t.equal(admit(rules, client, at), 1, 'the next rule that matches');
  held[1] = 1;
  t.equal(admit(rules, client, at), 'rule_full');
  t.equal(admit(rules, { ...client, uid: 1, gid: 1 }, at), 'not_admitted');
});

t.test('descriptors a process lacks', async (t) => {
  const limit = ownDescriptorLimit();
  t.equal(missingDescriptors(process.pid, 1), 0);
  t.ok(missingDescriptors(process.pid, limit) > 0);
  t.equal(missingDescriptors(0x7fffffff, limit), 0, 'a process that cannot be looked at is not refused');
});
