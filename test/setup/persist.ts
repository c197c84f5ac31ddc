import { existsSync, mkdirSync, readFileSync, readlinkSync } from 'node:fs';
import t from 'tap';
import {
  type Persistence,
  persist,
  persistedUnits,
  planPersist,
  unitName,
  unpersist,
} from '../../src/setup/persist.ts';
import { machine } from './fixtures/machine.ts';

const wanted: Persistence = {
  program: ['/usr/bin/node', '/opt/100% "odd" $dir/main.js'],
  selector: 'my region',
  options: ['--driver', 'vfio-pci', '--user', 'alice'],
  module: 'vfio-pci',
};

t.test('one unit name per selector', async (t) => {
  t.equal(unitName(undefined), 'ivshmem-bind.service');
  t.equal(unitName('0000:00:05.0'), 'ivshmem-bind-0000-3a00-3a05.0.service');
  t.equal(unitName('a/../b é-c'), 'ivshmem-bind-a-2f..-2fb-20-c3-a9-2dc.service');
});

t.test('writes and enables a unit and the module, once, and removes them', async (t) => {
  const m = machine(t, { functions: {} });
  mkdirSync(m.system.path('/run/systemd/system'), { recursive: true });
  const name = unitName('my region');
  t.equal(planPersist(m.system, [wanted]).length, 3);
  t.same(persistedUnits(m.system), []);
  persist(m.system, [wanted]);
  persist(m.system, [wanted]);
  t.same(planPersist(m.system, [wanted]), [], 'nothing is left to do');
  t.same(persistedUnits(m.system), [name]);
  const unit = readFileSync(m.system.path(`/etc/systemd/system/${name}`), 'utf8');
  t.match(
    unit,
    'ExecStart="/usr/bin/node" "/opt/100%% \\"odd\\" $$dir/main.js" "bind" "--driver" "vfio-pci" "--user" "alice" "--" "my region"\n',
  );
  const conf = `/etc/modules-load.d/${name.replace('.service', '.conf')}`;
  t.equal(readFileSync(m.system.path(conf), 'utf8'), 'vfio-pci\n');
  const link = m.system.path(`/etc/systemd/system/multi-user.target.wants/${name}`);
  t.equal(readlinkSync(link), `../${name}`);
  t.ok(m.ran.includes('systemctl daemon-reload'));

  m.put('etc/systemd/system/ivshmem-server.service', 'not ours to remove');
  t.equal(unpersist(m.system, 'all', true).length, 3);
  t.ok(existsSync(link), 'a dry run removes nothing');
  t.equal(unpersist(m.system, ['other', 'my region']).length, 3);
  t.notOk(existsSync(m.system.path(conf)));
  t.same(persistedUnits(m.system), []);
  t.same(unpersist(m.system, 'all'), [], 'the second time there is nothing to do');
  t.ok(existsSync(m.system.path('/etc/systemd/system/ivshmem-server.service')));
});

t.test('without systemd it says so', async (t) => {
  const m = machine(t, { functions: {} });
  t.throws(() => planPersist(m.system, [wanted]), { code: 'ERR_IVSHMEM_BIND_PERSIST', message: /systemd/ });
  m.put('lib/systemd/systemd', '');
  t.equal(planPersist(m.system, [wanted]).length, 3, 'an image in which systemd is not running will do');
  persist(m.system, [wanted]);
  t.notOk(m.ran.includes('systemctl daemon-reload'));
});

t.test('when one file cannot be written the others are taken back', async (t) => {
  const m = machine(t, { functions: {} });
  mkdirSync(m.system.path('/lib/systemd/systemd'), { recursive: true });
  m.put('etc/modules-load.d', 'a file where a directory belongs');
  const before = 'an older unit';
  m.put(`etc/systemd/system/${unitName(undefined)}`, before);
  const other = { ...wanted, selector: undefined };
  t.throws(() => persist(m.system, [other]), { code: 'ERR_IVSHMEM_BIND_PERSIST' });
  t.equal(readFileSync(m.system.path(`/etc/systemd/system/${unitName(undefined)}`), 'utf8'), before);
  t.throws(() => persist(m.system, [wanted]), { code: 'ERR_IVSHMEM_BIND_PERSIST' });
  t.same(persistedUnits(m.system), [unitName(undefined)]);
});

t.test('the module of the second unit fails: the link of the first is taken back', async (t) => {
  const m = machine(t, { functions: {} });
  mkdirSync(m.system.path('/lib/systemd/systemd'), { recursive: true });
  mkdirSync(m.system.path('/etc/modules-load.d/ivshmem-bind-second.conf'), { recursive: true });
  t.throws(() => persist(m.system, [wanted, { ...wanted, selector: 'second' }]), {
    code: 'ERR_IVSHMEM_BIND_PERSIST',
  });
  t.same(persistedUnits(m.system), []);
  t.notOk(existsSync(m.system.path(`/etc/systemd/system/multi-user.target.wants/${unitName('my region')}`)));
});
