import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { describe } from '../../src/cli/dsm-status.ts';
import { openSpace } from '../../src/dsm/index.ts';
import type { SpacesReport } from '../../src/observe/sample.ts';
import { withoutOpenssl } from '../host/hosts/support/certificates.ts';
import { runToEnd } from '../support/native-build.ts';
import { parseMetrics, seriesValue } from '../support/prometheus.ts';
import { until } from '../support/protocol/until.ts';
import { testFolder } from '../support/test-folder.ts';
import { found, twoHosts } from '../support/two-hosts.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const PAGES = 64;

// Each command loads the sources anew, which takes seconds on a busy machine.
t.setTimeout(240_000);

t.test(
  'spaces across hosts: pages of each host, traffic, heat, metrics',
  { skip: withoutOpenssl() ?? false, timeout: 230_000 },
  async (t) => {
    const folder = testFolder(t);
    const hosts = await twoHosts(folder, { config: () => ({ metrics: '127.0.0.1:0' }) });
    t.teardown(() => hosts.close());
    const [a, b] = [await hosts.member(0, 'm'), await hosts.member(1, 'n')];
    await found(a, b);
    const options = { size: PAGES * 4096, pageSize: 4096, spread: true } as const;
    const mine = await openSpace(a, 'matrix & <co>', options);
    const theirs = await openSpace(b, 'matrix & <co>', options);
    // Everything is written there, and the first quarter read here.
    new Uint8Array(theirs.buffer).fill(1);
    const quarter = new Uint8Array(mine.buffer, 0, (PAGES / 4) * 4096);
    t.ok(quarter.every((byte) => byte === 1));

    const dsm = (...words: string[]) =>
      runToEnd(
        'env',
        [
          ...['IVSHMEM_SOCKET=', process.execPath, '--import', 'tsx', main],
          ...['dsm', ...words, '--socket', hosts.sockets[0]!],
        ],
        60_000,
      );
    const status = (...more: string[]) => dsm('status', ...more);
    const ask = async (): Promise<SpacesReport> => JSON.parse((await status('--json')).output);
    let report = await ask();
    // The other host answers in time, unless this machine is very busy.
    await until(
      'both hosts are in the report',
      async () => {
        report = await ask();
        return report.spaces.every(({ spread }) => spread?.hosts.length === 2);
      },
      120,
    );
    t.match(report.hosts, {
      ...{ host: 'a', state: 'serving', trouble: null },
      hosts: [{ name: 'a' }, { name: 'b', up: true }],
    });
    t.ok(report.hosts!.hosts[1]!.bytesIn > quarter.length);
    const space = report.spaces.find(({ name }) => name.startsWith('matrix'))!;
    t.match(space.spread, { consistency: 'sequential', pageBytes: 4096, pages: PAGES });
    const [here, there] = space.spread!.hosts;
    t.match(here, { host: 'a', home: PAGES / 2, readable: PAGES / 4, writable: 0, lost: 0, members: 1 });
    t.match(there, {
      host: 'b',
      home: PAGES / 2,
      readable: PAGES / 4,
      writable: (3 * PAGES) / 4,
      members: 1,
    });
    t.ok(here!.faultsRemote >= PAGES / 4);
    t.ok(here!.pagesIn >= PAGES / 4 && there!.pagesOut >= PAGES / 4);
    const { heat } = space.spread!;
    t.ok(heat[0]! > 0, 'the first page came');

    const text = describe(report).join('\n');
    t.match(text, /\nhost a: serving, view \d+ of 2 hosts\nHOST .*\nb +connected /);
    t.match(
      text,
      /\nspace matrix & <co>: 64 pages of 4 KiB, sequential consistency\nHOST +HOME +WRITABLE .*\na +32 +0 +16 +0 .*\nb +32 +48 +16 +0 /,
    );

    const file = join(folder, 'heat.svg');
    const drawn = await status('--heat', file);
    t.match(drawn, { code: 0, output: /space matrix/ });
    const picture = readFileSync(file, 'utf8');
    t.match(picture, /^<svg [\s\S]*matrix &amp; &lt;co&gt;: [\s\S]*class="hot"[\s\S]*<\/svg>\n$/);

    const url = `http://127.0.0.1:${hosts.servers[0]!.metricsPort}/metrics`;
    const series = parseMetrics(await (await fetch(url)).text());
    const value = (name: string, labels = {}): number | undefined =>
      seriesValue(series, `ivshmem_dsm_${name}`, { region: 'r', ...labels });
    const number = String(space.spread!.number);
    t.equal(value('host_state', { state: 'serving' }), 1);
    t.equal(value('host_state', { state: 'fencing' }), 0);
    t.equal(value('view_hosts'), 2);
    t.equal(value('peer_up', { host: 'b' }), 1);
    t.equal(value('pages', { space: number, state: 'readable' }), PAGES / 4);
    t.equal(value('pages', { space: number, state: 'home' }), PAGES / 2);
    t.ok(value('faults_total', { space: number, from: 'elsewhere' })! >= PAGES / 4);
    t.ok(value('moved_bytes_total', { space: number, direction: 'in' })! >= quarter.length);

    t.match(await dsm('remove', 'matrix & <co>'), {
      code: 0,
      output: /goes when the last member on a, b lets/,
    });
    t.match(await dsm('remove', 'matrix & <co>', '--force'), {
      code: 0,
      output: /^matrix & <co> is gone, also for the members on a, b\n$/m,
    });
  },
);

t.test('a report of a host that is in trouble, without others', async (t) => {
  const hosts = {
    host: 'a',
    state: 'fencing',
    trouble: 'etcd is gone',
    awaySince: '2026-01-01T00:00:00.000Z',
    epoch: 3,
    hosts: [],
  } as const;
  t.strictSame(describe({ region: 'r', spaces: [], hosts }), [
    'region r: no spaces',
    '',
    'host a: fencing, view 3 of 0 hosts',
    'the directory is away since 2026-01-01T00:00:00.000Z',
    'the directory: etcd is gone',
  ]);
});
