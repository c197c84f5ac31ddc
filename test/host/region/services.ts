import t from 'tap';
import { Transactions } from '../../../src/host/records/transaction.ts';
import { Services } from '../../../src/host/region/services.ts';

const tx = new Transactions(null).begin();

t.test('listeners of one service take turns; a connector never gets itself', async (t) => {
  const services = new Services();
  const a = services.add(tx, 1, 'echo')!;
  const b = services.add(tx, 2, 'echo')!;
  t.equal(services.add(tx, 1, 'echo'), null, 'once per slot and service');
  t.not(a.id, b.id);
  t.same(
    [3, 3, 3, 3].map((slot) => services.choose('echo', slot, null)!.slot),
    [1, 2, 1, 2],
  );
  t.equal(services.choose('echo', 1, null)!.slot, 2);
  t.equal(services.choose('echo', 3, 2)!.slot, 2);
  t.equal(services.choose('echo', 1, 1), null);
  t.equal(services.choose('echo', 3, 4), null);
  t.equal(services.choose('other', 3, null), null);
});

t.test('removal', async (t) => {
  const services = new Services();
  const a = services.add(tx, 1, 'echo')!;
  services.add(tx, 1, 'time');
  services.add(tx, 2, 'time');
  t.notOk(services.remove(tx, 2, a.id), "another slot's listener stays");
  t.ok(services.remove(tx, 1, a.id));
  t.notOk(services.remove(tx, 1, a.id));
  t.equal(services.count(1), 1);
  services.removeAll(tx, 1);
  t.equal(services.count(1), 0);
  t.equal(services.choose('time', 3, null)!.slot, 2);
  services.removeAll(tx, 2);
  t.equal(services.choose('time', 3, null), null);
});
