import t from 'tap';
import { describe } from '../../src/cli/status.ts';
import { bindDevices } from '../../src/setup/bind.ts';
import { deviceStatus } from '../../src/setup/status.ts';
import { ADDRESS, machine } from './fixtures/machine.ts';

const named = async () => ({ name: 'blue' });

t.test('an unbound device', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { vectors: 0, memoryBytes: 4 << 20 } } });
  const status = await deviceStatus(m.system, m.device(), async () => ({ why: 'garbage' }));
  t.match(status, {
    address: ADDRESS,
    revision: 1,
    variant: 'plain',
    vectors: null,
    memoryBytes: 4 << 20,
    region: null,
    regionWhy: 'garbage',
    driver: null,
    iommuGroup: null,
    recorded: false,
    nodes: [],
    holders: [],
  });
  t.match(describe(status).join('\n'), /ivshmem-plain rev 1, 4 MiB\n.*unknown: garbage\n.*none\n.*no IOMMU/);
});

t.test('a bound one, in use', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: { iommuGroup: 5 } } });
  bindDevices(m.system, [m.device()], { driver: 'auto', user: 'alice' });
  const path = m.system.path('/dev/vfio/5');
  m.fake.addProcess(12, 'node', path);
  const status = await deviceStatus(m.system, m.device(), named);
  t.match(status, {
    variant: 'doorbell',
    vectors: 2,
    region: 'blue',
    driver: 'vfio-pci',
    iommuGroup: 5,
    recorded: true,
  });
  t.same(status.nodes, [{ path, uid: 1000, gid: 1001 }]);
  t.same(status.holders, [{ pid: 12, name: 'node' }]);
  const text = describe(status).join('\n');
  t.match(text, /ivshmem-doorbell rev 1, 1 MiB, 2 vectors/);
  t.match(text, /vfio-pci \(by ivshmem bind\)[\s\S]*owner 1000:1001[\s\S]*open in node \(pid 12\)/);
});

t.test('an ordinary user is told what is hidden', async (t) => {
  const m = machine(t, { functions: { [ADDRESS]: {} } }, { uid: 1000 });
  const device = m.device();
  const config = device.config().bytes.subarray(0, 64);
  m.put(`sys/bus/pci/devices/${ADDRESS}/config`, config.toString('latin1'));
  const status = await deviceStatus(m.system, device, named);
  t.equal(status.region, null);
  t.match(status.regionWhy, /only root/);
});
