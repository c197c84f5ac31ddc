import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseConfig, readConfig } from '../../../src/host/config/config.ts';

const region = { name: 'a', socket: '/run/a.sock' };

t.test('defaults', async (t) => {
  t.same(parseConfig({ regions: [region] }, 'test'), {
    log: 'info',
    regions: [
      {
        ...region,
        mode: 0o600,
        size: 64 << 20,
        slots: 64,
        vectors: 2,
        channels: 4096,
        memory: 'memfd',
        transparentHugePages: true,
        quota: { channels: 1024, listeners: 1024, spaces: 32, heap: 0.5 },
      },
    ],
  });
});

t.test('a checked configuration is a configuration', async (t) => {
  const checked = parseConfig({ regions: [{ ...region, size: '2M', mode: '0660', admit: 'any' }] }, 'test');
  t.same(parseConfig(checked, 'test'), checked);
});

t.test('sizes, modes and accounts', async (t) => {
  const one = (more: object) => parseConfig({ regions: [{ ...region, ...more }] }, 'test').regions[0]!;
  t.equal(one({ size: '4M' }).size, 4 << 20);
  t.equal(one({ size: '1GiB' }).size, 1 << 30);
  t.equal(one({ size: '4194304' }).size, 4 << 20);
  t.equal(one({ mode: '660' }).mode, 0o660);
  t.equal(one({ group: 'root' }).group, 0);
  t.same(one({ admit: [{ uid: 'root' }, { gid: 7 }] }).admit, [{ uid: 0 }, { gid: 7 }]);
});

const bad: readonly (readonly [object, RegExp])[] = [
  [{ size: '3M' }, /regions\[0\]\.size: must be a power of two/],
  [{ size: 3 << 20 }, /power of two/],
  [{ size: '512K' }, /from 1M to 4G/],
  [{ size: 0 }, /from 1M to 4G/],
  [{ size: '8G' }, /from 1M to 4G/],
  [{ size: 'large' }, /"large" is no size/],
  [{ size: '1M', channels: 16384 }, /tables of 64 slots and 16384 channels/],
  [{ slots: 1 }, /slots/],
  [{ slots: 257 }, /slots/],
  [{ vectors: 0 }, /vectors/],
  [{ vectors: 1.5 }, /vectors/],
  [{ channels: 16385 }, /channels/],
  [{ mode: '0999' }, /octal/],
  [{ mode: 0o1777 }, /mode/],
  [{ group: 'no-such-group' }, /no group "no-such-group"/],
  [{ admit: [{}] }, /admit = "any"/],
  [{ admit: [{ user: 1 }] }, /user/],
  [{ admit: [{ uid: 'no-such-user' }] }, /no user "no-such-user"/],
  [{ memory: 'file' }, /goes with memory = "file"/],
  [{ file: '/dev/shm/x' }, /goes with memory = "file"/],
  [{ memory: 'file', file: 'x' }, /absolute path/],
  [{ memory: 'hugepages', size: '1M' }, /multiple of 2M/],
  [{ memory: 'disk' }, /memory/],
  [{ socket: 'relative' }, /absolute path, or @name/],
  [{ socket: `/${'x'.repeat(200)}` }, /at most 107 bytes/],
  [{ name: '' }, /1 to 64 bytes/],
  [{ name: 'x'.repeat(65) }, /1 to 64 bytes/],
  [{ name: 'a\nb' }, /control characters/],
  [{ quota: { heap: 0 } }, /quota\.heap/],
  [{ colour: 'red' }, /colour/],
];
for (const [more, why] of bad) {
  t.test(`refused: ${JSON.stringify(more).slice(0, 60)}`, async (t) => {
    t.throws(() => parseConfig({ regions: [{ ...region, ...more }] }, 'test'), {
      code: 'ERR_IVSHMEM_SERVER_CONFIG',
      kind: 'usage',
      message: why,
    });
  });
}

t.test('what two regions must not share', async (t) => {
  const both = (more: object) => () => parseConfig({ regions: [region, { ...region, ...more }] }, 'test');
  t.throws(both({ socket: '/run/b.sock' }), { message: /same name/ });
  t.throws(both({ name: 'b' }), { message: /same socket/ });
  const file = { memory: 'file', file: '/dev/shm/x' };
  t.throws(
    () =>
      parseConfig(
        {
          regions: [
            { ...region, ...file },
            { name: 'b', socket: '@b', ...file },
          ],
        },
        'test',
      ),
    { message: /same file/ },
  );
  t.throws(() => parseConfig({ regions: [] }, 'test'), { message: /regions/ });
  t.throws(() => parseConfig(null, 'test'), { code: 'ERR_IVSHMEM_SERVER_CONFIG' });
});

t.test('which region [hosts] means', async (t) => {
  const files = { certificate: '/c', key: '/k', authority: '/a', state: '/s', peers: {} };
  const hosts = { name: 'a', listen: '127.0.0.1:7400', ...files };
  const two = [region, { name: 'b', socket: '@b', vectors: 1 }];
  const parsed = (regions: readonly object[], more: object) => () =>
    parseConfig({ regions, hosts: { ...hosts, ...more } }, 'test');
  t.throws(parsed(two, {}), { code: 'ERR_IVSHMEM_SERVER_CONFIG', message: /hosts\.region: name the one/ });
  t.throws(parsed(two, { region: 'c' }), { message: /hosts\.region: there is no region "c"/ });
  t.throws(parsed(two, { region: 'b' }), { message: /hosts\.region: "b" has one vector/ });
  t.equal(parsed(two, { region: 'a' })().hosts!.region, 'a');
  t.equal(parsed([region], {})().hosts!.region, undefined);
});

t.test('TOML files', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ivshmem-config-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const write = (text: string): string => {
    const path = join(directory, 'server.toml');
    writeFileSync(path, text);
    return path;
  };
  const good = `log = "debug"
[[regions]]
name = "one"
socket = "@one"
size = "2M"
admit = [{ uid = "root" }, { gid = 5 }]
quota = { channels = 7 }
[[regions]]
name = "two"
socket = "@two"
`;
  const config = readConfig(write(good));
  t.equal(config.log, 'debug');
  t.same(
    config.regions.map(({ name }) => name),
    ['one', 'two'],
  );
  t.equal(config.regions[0]!.quota.channels, 7);
  t.throws(() => readConfig(write('log = ')), {
    code: 'ERR_IVSHMEM_SERVER_CONFIG',
    message: /line 1, column/,
  });
  t.throws(() => readConfig(write('regions = 5')), { code: 'ERR_IVSHMEM_SERVER_CONFIG' });
  t.throws(() => readConfig(join(directory, 'absent.toml')), {
    code: 'ERR_IVSHMEM_SERVER_CONFIG_FILE',
    kind: 'usage',
  });
});
