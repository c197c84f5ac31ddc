import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { ErrorCode } from '../../src/errors/index.ts';
import { type BindOptions, bindDevices } from '../../src/setup/bind.ts';
import { readRecord, recordPath } from '../../src/setup/record.ts';
import { Transaction } from '../../src/setup/transaction.ts';
import { unbindDevices } from '../../src/setup/unbind.ts';
import { ADDRESS, given, type Machine, machine, SECOND } from './fixtures/machine.ts';

const auto: BindOptions = { driver: 'auto' };
const vfio = { functions: { [ADDRESS]: { iommuGroup: 3 } } };

/** Nothing of a failed bind may remain. */
function untouched(t: Test, m: Machine, driver?: string, address = ADDRESS): void {
  const device = m.device(address);
  t.equal(device.driver, driver, 'driver as before');
  t.equal(device.driverOverride, undefined, 'no driver_override');
  t.equal(existsSync(recordPath(m.system, device.address)), false, 'no record');
  t.same(given(m), [], 'no file given away');
}

function refused(t: Test, m: Machine, options: BindOptions, code: ErrorCode, says: RegExp): void {
  t.throws(() => bindDevices(m.system, [m.device()], options), { code, message: says });
}

t.test(
  'auto takes vfio-pci where there is an IOMMU group, loads it and gives the group to the user',
  async (t) => {
    const m = machine(t, vfio);
    const [result] = bindDevices(m.system, [m.device()], { driver: 'auto', user: 'alice' });
    t.equal(result!.driver, 'vfio-pci');
    t.equal(m.device().driver, 'vfio-pci');
    t.equal(m.device().driverOverride, 'vfio-pci');
    t.same(result!.nodes, [m.system.path('/dev/vfio/3')]);
    t.same(given(m), ['/dev/vfio/3']);
    t.same(m.owners.get(m.system.path('/dev/vfio/3')), { uid: 1000, gid: 1001 });
    t.ok(m.ran.includes('modprobe vfio-pci'));
    t.ok(m.ran.includes('udevadm settle --timeout=10'), 'waits for udev before it changes owners');

    const again = bindDevices(m.system, [m.device()], { driver: 'auto', user: 'alice' });
    t.same(again[0]!.steps, [], 'the second time there is nothing to do');

    unbindDevices(m.system, [m.device()]);
    untouched(t, m);
    t.same(unbindDevices(m.system, [m.device()])[0]!.steps, [], 'the second unbind has nothing to do');
  },
);

t.test(
  'auto takes uio_pci_generic without an IOMMU and gives node and sysfs files to the user',
  async (t) => {
    const m = machine(t, { functions: { [ADDRESS]: {} } });
    const [result] = bindDevices(m.system, [m.device()], { driver: 'auto', user: '1000' });
    t.equal(result!.driver, 'uio_pci_generic');
    t.match(result!.notes.join('\n'), /no IOMMU group[\s\S]*polled/);
    const directory = `/sys/bus/pci/devices/${ADDRESS}`;
    const files = ['config', 'resource0', 'resource2', 'resource2_wc'].map((name) => `${directory}/${name}`);
    t.same(given(m), ['/dev/uio0', ...files]);
    unbindDevices(m.system, [m.device()]);
    untouched(t, m);
  },
);

t.test(
  'auto takes uio_pci_generic where vfio-pci is absent or the group is shared, and keeps what is bound',
  async (t) => {
    const absent = machine(t, { ...vfio, modules: ['uio_pci_generic'] });
    t.equal(bindDevices(absent.system, [absent.device()], auto)[0]!.driver, 'uio_pci_generic');
    const [kept] = bindDevices(absent.system, [absent.device()], auto);
    t.same(kept!.steps, []);
    t.match(kept!.notes[0], /has it already/);
  },
);

t.test('auto takes uio_pci_generic where the IOMMU group is shared', async (t) => {
  const m = machine(t, {
    functions: {
      [ADDRESS]: { iommuGroup: 3 },
      [SECOND]: { deviceId: 0x1000, iommuGroup: 3, driver: 'virtio-pci' },
    },
  });
  const [result] = bindDevices(m.system, [m.device()], auto);
  t.equal(result!.driver, 'uio_pci_generic');
  t.match(result!.notes[0], /0000:00:06\.0 \(virtio-pci\)/);
});

t.test('the old driver gets the device back', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { driver: 'uio_ivshmem', native: 'uio_ivshmem' } } });
  refused(t, m, auto, 'ERR_IVSHMEM_BIND_FOREIGN_DRIVER', /uio_ivshmem by someone else.*--force/s);
  untouched(t, m, 'uio_ivshmem');
  bindDevices(m.system, [m.device()], { driver: 'auto', force: true });
  t.equal(m.device().driver, 'uio_pci_generic');
  unbindDevices(m.system, [m.device()]);
  untouched(t, m, 'uio_ivshmem');
});

t.test('a binding made by hand is kept, marked, and undone to what it was', async (t) => {
  const m = machine(t, {
    functions: { [ADDRESS]: { iommuGroup: 3, driver: 'vfio-pci', native: 'vfio-pci' } },
  });
  bindDevices(m.system, [m.device()], auto);
  t.equal(m.device().driverOverride, 'vfio-pci');
  unbindDevices(m.system, [m.device()]);
  untouched(t, m, 'vfio-pci');
});

t.test('switching drivers and back leaves the very first state after unbind', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { iommuGroup: 3, driver: 'other', native: 'other' } } });
  bindDevices(m.system, [m.device()], { driver: 'uio_pci_generic', user: 'alice', force: true });
  bindDevices(m.system, [m.device()], { driver: 'vfio-pci', user: 'alice' });
  t.equal(m.device().driver, 'vfio-pci');
  bindDevices(m.system, [m.device()], { driver: 'uio_pci_generic', user: 'alice' });
  t.equal(m.device().driver, 'uio_pci_generic');
  unbindDevices(m.system, [m.device()]);
  t.equal(m.device().driver, 'other');
  t.equal(m.device().driverOverride, undefined);
  t.notOk(
    given(m).some((path) => path.startsWith('/sys/')),
    "sysfs files are root's again",
  );
});

t.test('a failed switch returns to the binding before it, access included', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { iommuGroup: 3 } } });
  bindDevices(m.system, [m.device()], { driver: 'vfio-pci', user: 'alice' });
  const record = readRecord(m.system, m.device().address);
  m.failChown.on = '/resource2';
  refused(t, m, { driver: 'uio_pci_generic', user: 'alice' }, 'ERR_IVSHMEM_BIND_STEP', /resource2.*EPERM/);
  t.equal(m.device().driver, 'vfio-pci');
  t.equal(m.device().driverOverride, 'vfio-pci');
  t.same(given(m), ['/dev/vfio/3']);
  t.same(readRecord(m.system, m.device().address), record);
});

t.test('every failure names its cause and leaves nothing behind', async (t) => {
  t.test('not root', async (t) => {
    const m = machine(t, vfio, { uid: 1000 });
    refused(t, m, auto, 'ERR_IVSHMEM_BIND_NOT_ROOT', /only root/);
    untouched(t, m);
    t.ok(bindDevices(m.system, [m.device()], { driver: 'auto', dryRun: true })[0]!.steps.length > 0);
    t.throws(() => unbindDevices(m.system, [m.device()]), { code: 'ERR_IVSHMEM_BIND_NOT_ROOT' });
  });
  t.test('unknown user', async (t) => {
    const m = machine(t, vfio);
    refused(t, m, { driver: 'auto', user: 'nobody-here' }, 'ERR_IVSHMEM_BIND_UNKNOWN_USER', /nobody-here/);
    untouched(t, m);
  });
  t.test('no IOMMU group', async (t) => {
    const m = machine(t, { functions: { [ADDRESS]: {} } });
    refused(t, m, { driver: 'vfio-pci' }, 'ERR_IVSHMEM_BIND_NO_IOMMU', /intel_iommu=on/);
    untouched(t, m);
  });
  t.test('no IOMMU and a kernel without VFIO_NOIOMMU', async (t) => {
    const m = machine(t, { functions: { [ADDRESS]: {} } });
    const options = { driver: 'vfio-pci', allowNoIommu: true } as const;
    refused(t, m, options, 'ERR_IVSHMEM_BIND_NOIOMMU_ABSENT', /6\.12\.0-fake/);
    untouched(t, m);
  });
  t.test('group shared', async (t) => {
    const m = machine(t, {
      functions: {
        [ADDRESS]: { iommuGroup: 3 },
        [SECOND]: { deviceId: 1, iommuGroup: 3, driver: 'e1000' },
        '0000:00:07.0': { deviceId: 1, iommuGroup: 3, driver: 'pcieport' },
        '0000:00:08.0': { deviceId: 1, iommuGroup: 3 },
      },
    });
    const says = /group 3 also holds 0000:00:06\.0 \(e1000\), which/;
    refused(t, m, { driver: 'vfio-pci' }, 'ERR_IVSHMEM_BIND_GROUP_SHARED', says);
    untouched(t, m);
  });
  t.test('module absent', async (t) => {
    const m = machine(t, { ...vfio, modules: [] });
    refused(t, m, { driver: 'vfio-pci' }, 'ERR_IVSHMEM_BIND_MODULE_ABSENT', /Module vfio-pci not found/);
    refused(t, m, { driver: 'vfio-pci', dryRun: true }, 'ERR_IVSHMEM_BIND_MODULE_ABSENT', /not among/);
    untouched(t, m);
  });
  t.test('module refused without a word', async (t) => {
    const m = machine(t, vfio, { run: () => ({ status: 1, stdout: '', stderr: '' }) });
    refused(t, m, { driver: 'vfio-pci' }, 'ERR_IVSHMEM_BIND_MODULE_ABSENT', /status 1/);
    untouched(t, m);
  });
  t.test('kernel lockdown', async (t) => {
    const m = machine(t, { functions: { [ADDRESS]: {} }, lockdown: 'none [integrity] confidentiality\n' });
    refused(t, m, { driver: 'uio_pci_generic' }, 'ERR_IVSHMEM_BIND_LOCKDOWN', /integrity/);
    refused(t, m, auto, 'ERR_IVSHMEM_BIND_NO_IOMMU', /no IOMMU group/);
    untouched(t, m);
  });
  t.test('a foreign driver that is in use', async (t) => {
    const m = machine(t, { functions: { [ADDRESS]: { iommuGroup: 3, driver: 'vfio-pci' } } });
    m.fake.addProcess(4711, 'dpdk', m.system.path('/dev/vfio/3'));
    m.put('proc/4712/comm', 'no descriptors');
    const options = { driver: 'uio_pci_generic', force: true } as const;
    refused(t, m, options, 'ERR_IVSHMEM_BIND_IN_USE', /dpdk \(pid 4711\)/);
    untouched(t, m, 'vfio-pci');
  });
  t.test('the kernel takes the write and binds nothing', async (t) => {
    const m = machine(t, { ...vfio, drivers: ['vfio-pci'] });
    const probe = m.system.pci.write;
    const pci = Object.assign(Object.create(Object.getPrototypeOf(m.system.pci)), m.system.pci, {
      write: (path: string, value: string) =>
        path.endsWith('drivers_probe') ? undefined : probe(path, value),
    });
    const system = { ...m.system, pci };
    const devices = pci.find(0x1af4, 0x1110);
    t.throws(() => bindDevices(system, devices, auto), {
      code: 'ERR_IVSHMEM_BIND_REFUSED',
      message: /no driver took it/,
    });
    untouched(t, m);
  });
  t.test('the kernel refuses the probe', async (t) => {
    const m = machine(t, vfio);
    m.fake.failWrites('drivers_probe', 'EINVAL');
    refused(t, m, auto, 'ERR_IVSHMEM_BIND_REFUSED', /EINVAL/);
    untouched(t, m);
  });
  t.test('driver_override cannot be written', async (t) => {
    const m = machine(t, vfio);
    m.fake.failWrites('driver_override', 'EPERM');
    refused(t, m, auto, 'ERR_IVSHMEM_BIND_STEP', /set driver_override to vfio-pci \(0000:00:05\.0\).*EPERM/);
    untouched(t, m);
  });
  t.test('the node cannot be given away', async (t) => {
    const m = machine(t, { functions: { [ADDRESS]: { driver: 'old', native: 'old' } } });
    m.failChown.on = '/resource2';
    const options = { driver: 'auto', user: 'alice', force: true } as const;
    refused(t, m, options, 'ERR_IVSHMEM_BIND_STEP', /resource2/);
    untouched(t, m, 'old');
  });
  t.test('something after the binding fails', async (t) => {
    const m = machine(t, vfio);
    const finish = () => {
      throw new Error('no disk');
    };
    t.throws(() => bindDevices(m.system, [m.device()], { driver: 'auto', user: 'alice', finish }), /no disk/);
    untouched(t, m);
  });
  t.test('the second of two devices: the first is taken back, too', async (t) => {
    const m = machine(t, { functions: { [ADDRESS]: { iommuGroup: 3 }, [SECOND]: {} } });
    const devices = [m.device(), m.device(SECOND)];
    t.throws(() => bindDevices(m.system, devices, { driver: 'vfio-pci', user: 'alice' }), {
      code: 'ERR_IVSHMEM_BIND_NO_IOMMU',
    });
    untouched(t, m);
    untouched(t, m, undefined, SECOND);
  });
});

t.test('a missing device node is told', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { iommuGroup: 3 } } });
  const real = m.system.path;
  const system = {
    ...m.system,
    path: (path: string) => (path.startsWith('/dev') ? `/nowhere${path}` : real(path)),
  };
  t.throws(() => bindDevices(system, [m.device()], { driver: 'vfio-pci', user: 'alice' }), {
    code: 'ERR_IVSHMEM_BIND_STEP',
    message: /devtmpfs/,
  });
  untouched(t, m);
});

t.test('without an IOMMU, where the kernel can and the user allows it', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: {} }, noIommu: true });
  const options = { driver: 'auto', allowNoIommu: true, user: 'alice' } as const;
  const plan = bindDevices(m.system, [m.device()], { ...options, dryRun: true });
  t.ok(plan[0]!.steps.includes('allow VFIO without an IOMMU'));
  const [result] = bindDevices(m.system, [m.device()], options);
  t.same(result!.nodes, [m.system.path('/dev/vfio/noiommu-0')]);
  t.match(result!.notes.join(), /CAP_SYS_RAWIO/);
  t.same(given(m), ['/dev/vfio/noiommu-0']);
  t.same(bindDevices(m.system, [m.device()], options)[0]!.steps, []);
  unbindDevices(m.system, [m.device()]);
  untouched(t, m);
  t.ok(m.fake.writes.includes('sys/module/vfio/parameters/enable_unsafe_noiommu_mode=Y'));
  t.ok(
    m.fake.writes.includes('sys/module/vfio/parameters/enable_unsafe_noiommu_mode=N'),
    'switched off again',
  );
});

t.test('a dry run tells the steps of the real one and changes nothing', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { driver: 'old', native: 'old' } } });
  const options = { driver: 'auto', user: 'alice', force: true } as const;
  const [plan] = bindDevices(m.system, [m.device()], { ...options, dryRun: true });
  t.same(plan!.steps, [
    'load the module uio_pci_generic',
    'set driver_override to uio_pci_generic',
    'take the device from old',
    'bind the device to uio_pci_generic',
    'give alice the files of the device',
  ]);
  t.same(m.fake.writes, []);
  untouched(t, m, 'old');
  bindDevices(m.system, [m.device()], options);
  t.same(bindDevices(m.system, [m.device()], { ...options, dryRun: true })[0]!.steps, []);
  const steps = unbindDevices(m.system, [m.device()], { dryRun: true })[0]!.steps;
  t.equal(steps.at(-1), 'give the device back to old');
  t.equal(m.device().driver, 'uio_pci_generic');
});

t.test('a bind whose rollback fails is taken back by unbind and completed by bind', async (t) => {
  for (const finish of ['unbind', 'bind'] as const) {
    const m = machine(t, { functions: { [ADDRESS]: { iommuGroup: 3, driver: 'old', native: 'old' } } });
    m.fake.failWrites('drivers_probe', 'EIO');
    refused(
      t,
      m,
      { driver: 'vfio-pci', force: true },
      'ERR_IVSHMEM_BIND_LEFTOVER',
      /give the device back to old: EIO/,
    );
    t.equal(m.device().driver, undefined, 'half-way');
    m.fake.succeedAgain();
    if (finish === 'bind') {
      bindDevices(m.system, [m.device()], { driver: 'vfio-pci' });
      t.equal(m.device().driver, 'vfio-pci');
    }
    unbindDevices(m.system, [m.device()]);
    untouched(t, m, 'old');
  }
});

t.test('a bind that was killed half-way is taken back by unbind and completed by bind', async (t) => {
  for (const finish of ['unbind', 'bind'] as const) {
    const m = machine(t, { functions: { [ADDRESS]: { iommuGroup: 3, driver: 'old', native: 'old' } } });
    const killed = new Transaction(m.system, m.device(), 'vfio-pci', false);
    killed.remember({ kind: 'probe', before: 'old' });
    killed.step('override', { kind: 'override', before: null }, () =>
      m.device().setDriverOverride('vfio-pci'),
    );
    killed.step('unbind', undefined, () => m.device().unbind());
    killed.remember({ kind: 'bound', driver: 'vfio-pci' });
    if (finish === 'bind') {
      bindDevices(m.system, [m.device()], { driver: 'vfio-pci' });
      t.equal(m.device().driver, 'vfio-pci');
    }
    unbindDevices(m.system, [m.device()]);
    untouched(t, m, 'old');
  }
});
