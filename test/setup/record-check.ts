import t from 'tap';
import { checkRecord } from '../../src/setup/record-check.ts';

const good = {
  version: 1,
  driver: 'vfio-pci',
  undo: [
    { kind: 'probe', before: null },
    { kind: 'override', before: 'other' },
    { kind: 'bound', driver: 'vfio-pci' },
    { kind: 'owner', path: '/dev/vfio/4', uid: 0, gid: 0 },
    { kind: 'parameter', path: '/sys/p', before: 'N' },
  ],
};

t.test('a record comes back with its known keys alone', async (t) => {
  const { version: _, ...record } = good;
  t.strictSame(checkRecord(good), record);
  const more = { ...good, more: 1, undo: [{ kind: 'bound', driver: 'd', more: 1 }] };
  t.strictSame(checkRecord(more), { driver: 'vfio-pci', undo: [{ kind: 'bound', driver: 'd' }] });
});

t.test('anything else is refused, with the key that is wrong', async (t) => {
  const withStep = (step: unknown) => ({ ...good, undo: [good.undo[0], step] });
  const cases: [unknown, RegExp][] = [
    [null, /the record is not an object/],
    [[], /the record is not an object/],
    [{ ...good, version: 2 }, /version is 2 and not 1/],
    [{ ...good, version: undefined }, /version is undefined/],
    [{ ...good, driver: 7 }, /driver is not text/],
    [{ ...good, undo: {} }, /undo is not a list/],
    [withStep('probe'), /undo\[1\] is not an object/],
    [withStep({ kind: 'erase' }), /undo\[1\]\.kind "erase" is unknown/],
    [withStep({ kind: 'constructor' }), /undo\[1\]\.kind "constructor" is unknown/],
    [withStep({ kind: 'probe' }), /undo\[1\]\.before cannot be undefined/],
    [withStep({ kind: 'bound', driver: null }), /undo\[1\]\.driver cannot be null/],
    [withStep({ kind: 'owner', path: '/x', uid: 0.5, gid: 0 }), /undo\[1\]\.uid cannot be 0\.5/],
    [withStep({ kind: 'parameter', path: 1, before: 'N' }), /undo\[1\]\.path cannot be 1/],
  ];
  for (const [value, why] of cases) t.throws(() => checkRecord(value), why, JSON.stringify(value));
});
