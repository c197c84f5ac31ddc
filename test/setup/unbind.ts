import { existsSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { bindDevices } from '../../src/setup/bind.ts';
import { recordedAddresses, recordPath } from '../../src/setup/record.ts';
import { selectBound, unbindDevices } from '../../src/setup/unbind.ts';
import { ADDRESS, given, machine, SECOND } from './fixtures/machine.ts';

t.test('without selectors only bound devices count', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: {}, [SECOND]: {} } });
  t.same(await selectBound(m.system, [], false), []);
  bindDevices(m.system, [m.device(SECOND)], { driver: 'auto' });
  t.same(
    (await selectBound(m.system, [], false)).map((device) => device.address.toString()),
    [SECOND],
  );
  bindDevices(m.system, [m.device()], { driver: 'auto' });
  await t.rejects(selectBound(m.system, [], false), { code: 'ERR_IVSHMEM_DEVICE_AMBIGUOUS' });
  t.equal((await selectBound(m.system, [], true)).length, 2);
  t.equal((await selectBound(m.system, [ADDRESS], false)).length, 1);
});

t.test('what someone else bound stays, unless forced', async (t) => {
  const m = machine(t, {
    functions: { [ADDRESS]: { iommuGroup: 1, driver: 'vfio-pci', driverOverride: 'vfio-pci' } },
  });
  t.throws(() => unbindDevices(m.system, [m.device()]), {
    code: 'ERR_IVSHMEM_BIND_FOREIGN_DRIVER',
    message: /unbind 0000:00:05\.0: it was given to the driver vfio-pci/,
  });
  unbindDevices(m.system, [m.device()], { force: true });
  t.equal(m.device().driver, undefined);
  t.equal(m.device().driverOverride, undefined);
  m.device().setDriverOverride('vfio-pci');
  unbindDevices(m.system, [m.device()], { force: true });
  t.equal(m.device().driverOverride, undefined, 'also a reservation alone');
});

t.test('a device in use is left alone', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { iommuGroup: 1 } } });
  bindDevices(m.system, [m.device()], { driver: 'vfio-pci', user: 'alice' });
  m.fake.addProcess(99, 'node', m.system.path('/dev/vfio/1'));
  t.throws(() => unbindDevices(m.system, [m.device()]), {
    code: 'ERR_IVSHMEM_BIND_IN_USE',
    message: /node \(pid 99\)/,
  });
  t.equal(m.device().driver, 'vfio-pci');
  t.same(given(m), ['/dev/vfio/1']);
  m.fake.removeProcess(99);
  unbindDevices(m.system, [m.device()]);
  t.equal(m.device().driver, undefined);
});

t.test('a step that fails is told, kept, and made up for by the next unbind', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { driver: 'old', native: 'old' } } });
  bindDevices(m.system, [m.device()], { driver: 'uio_pci_generic', user: 'alice', force: true });
  m.fake.failWrites('drivers_probe', 'EIO');
  t.throws(() => unbindDevices(m.system, [m.device()]), {
    code: 'ERR_IVSHMEM_BIND_LEFTOVER',
    message: /give the device back to old: EIO/,
  });
  t.equal(m.device().driver, undefined, 'the rest was done');
  m.fake.succeedAgain();
  unbindDevices(m.system, [m.device()]);
  t.equal(m.device().driver, 'old');
  t.equal(existsSync(recordPath(m.system, m.device().address)), false);
});

t.test('an old driver that does not take the device back is told', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { driver: 'old' } } });
  bindDevices(m.system, [m.device()], { driver: 'uio_pci_generic', force: true });
  t.throws(() => unbindDevices(m.system, [m.device()]), {
    code: 'ERR_IVSHMEM_BIND_LEFTOVER',
    message: /old did not take the device back/,
  });
});

t.test('a damaged record is an error that --force gets past', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: {} } });
  for (const text of ['{', '{"version":2}', '{"version":1,"driver":"x","undo":[{"kind":"shell"}]}']) {
    bindDevices(m.system, [m.device()], { driver: 'auto' });
    writeFileSync(recordPath(m.system, m.device().address), text);
    t.throws(() => unbindDevices(m.system, [m.device()]), { code: 'ERR_IVSHMEM_BIND_STATE' });
    t.throws(() => bindDevices(m.system, [m.device()], { driver: 'auto' }), {
      code: 'ERR_IVSHMEM_BIND_STATE',
    });
    unbindDevices(m.system, [m.device()], { force: true });
    t.equal(m.device().driver, undefined);
    t.equal(existsSync(recordPath(m.system, m.device().address)), false);
  }
});

t.test('records of unplugged devices are forgotten, of replugged ones not trusted', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: {}, [SECOND]: {} } });
  bindDevices(m.system, [m.device(), m.device(SECOND)], { driver: 'auto', user: 'alice' });
  m.fake.unplug(ADDRESS);
  t.equal(
    unbindDevices(m.system, [m.device()])[0]!.driver,
    null,
    'nothing to restore on a device that is gone',
  );
  m.fake.unplug(SECOND);
  t.same(recordedAddresses(m.system).map(String), [SECOND]);
  // Another device gets the name of the node that the unplugged one had.
  m.put('dev/uio1', '');
  m.owners.set(m.system.path('/dev/uio1'), { uid: 7, gid: 7 });
  m.fake.plug(SECOND, {});
  unbindDevices(m.system, [m.device(SECOND)]);
  t.same(m.owners.get(m.system.path('/dev/uio1')), { uid: 7, gid: 7 });
  bindDevices(m.system, [m.device(SECOND)], { driver: 'auto' });
  m.fake.unplug(SECOND);
  unbindDevices(m.system, []);
  t.same(recordedAddresses(m.system), []);
});
