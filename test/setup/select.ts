import t from 'tap';
import { ivshmemDevices, selectDevices } from '../../src/setup/select.ts';
import { ADDRESS, machine, SECOND } from './fixtures/machine.ts';

const names: Record<string, string> = { [ADDRESS]: 'blue', [SECOND]: 'red' };
const peek = async (device: { address: { toString(): string } }) => {
  const name = names[device.address.toString()];
  return name === undefined ? { why: 'garbage' } : { name };
};
const addresses = (list: { address: { toString(): string } }[]) =>
  list.map((item) => item.address.toString());

t.test('the only device needs no name', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: {}, [SECOND]: { deviceId: 1 } } });
  t.same(addresses(await selectDevices(m.system, [])), [ADDRESS]);
  t.same(addresses(ivshmemDevices(m.system)), [ADDRESS]);
});

t.test('none and several are errors', async (t) => {
  await t.rejects(selectDevices(machine(t, { functions: {} }).system, []), {
    code: 'ERR_IVSHMEM_DEVICE_ABSENT',
  });
  const m = machine(t, { functions: { [ADDRESS]: {}, [SECOND]: {} } });
  await t.rejects(selectDevices(m.system, []), {
    code: 'ERR_IVSHMEM_DEVICE_AMBIGUOUS',
    kind: 'usage',
    message: /0000:00:05\.0, 0000:00:06\.0/,
  });
  t.equal((await selectDevices(m.system, [], true)).length, 2);
});

t.test('by address and by region name, each device once', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: {}, [SECOND]: {}, '0000:00:07.0': {} } });
  t.same(addresses(await selectDevices(m.system, ['red'], false, peek)), [SECOND]);
  t.same(addresses(await selectDevices(m.system, ['red', '00:06.0', 'blue'], false, peek)), [
    SECOND,
    ADDRESS,
  ]);
  await t.rejects(selectDevices(m.system, ['00:09.0'], false, peek), {
    code: 'ERR_IVSHMEM_DEVICE_ABSENT',
    message: /at 0000:00:09\.0/,
  });
  await t.rejects(selectDevices(m.system, ['green'], false, peek), {
    code: 'ERR_IVSHMEM_DEVICE_ABSENT',
    message: /"green" \(0000:00:05\.0: "blue"; 0000:00:06\.0: "red"; 0000:00:07\.0: garbage\)/,
  });
  const same = async () => ({ name: 'red' });
  await t.rejects(selectDevices(m.system, ['red'], false, same), { code: 'ERR_IVSHMEM_DEVICE_AMBIGUOUS' });
  const empty = machine(t, { functions: {} });
  await t.rejects(selectDevices(empty.system, ['red'], false, peek), { message: /none at all/ });
});
