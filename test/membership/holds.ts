import t from 'tap';
import { Holds } from '../../src/membership/holds.ts';

t.test('waits count until they are let go, and not after', (t) => {
  let waiting = 0;
  const holds = new Holds((change) => {
    waiting += change;
  });
  holds.wait(1);
  holds.wait(1);
  t.equal(waiting, 2);
  holds.wait(-1);
  t.equal(waiting, 1);
  holds.unref();
  t.equal(waiting, 0);
  holds.unref();
  holds.wait(1);
  holds.wait(-1);
  holds.wait(-1);
  t.equal(waiting, 0, 'nothing is given back twice');
  t.end();
});
