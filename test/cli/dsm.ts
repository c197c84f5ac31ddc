import t from 'tap';
import { openSpace } from '../../src/dsm/index.ts';
import { RegionView } from '../../src/observe/region-view.ts';
import { serveRegion } from '../support/busy-region.ts';
import { type Outcome, runToEnd } from '../support/native-build.ts';
import { bundledServer } from '../support/supervised-server.ts';

const words = [await bundledServer()];

t.setTimeout(240_000);

const ivshmem = (...args: string[]): Promise<Outcome> =>
  runToEnd('env', ['IVSHMEM_SOCKET=', process.execPath, ...words, ...args], 60_000);

t.test('spaces of a region: listed, removed', { timeout: 230_000 }, async (t) => {
  const served = await serveRegion('spaces');
  t.teardown(() => served.close());
  const { socket } = served;
  const empty = await ivshmem('dsm', 'status', '--socket', socket);
  t.match(empty, { code: 0, output: 'region spaces: no spaces\n' });

  const worker = await served.join('worker');
  const other = await served.join('other');
  await openSpace(worker, 'matrix', { size: 1 << 20 });
  await openSpace(other, 'matrix');
  await (await openSpace(worker, 'kept', { size: 100, persistent: true })).close();
  const listed = await ivshmem('dsm', 'status', '--socket', socket);
  t.match(listed.output, /^region spaces: 2 spaces\nNAME +SIZE +TAKES +HOLDERS +PERSISTENT +MADE BY\n/);
  t.match(listed.output, /\nkept +100 B +68 KiB +0 +yes +worker\nmatrix +1 MiB +1.1 MiB +2 +no +worker\n$/);

  const spaces = [
    { name: 'kept', bytes: 100, memoryBytes: 69632, persistent: true, holders: 0, createdBy: 'worker' },
    {
      name: 'matrix',
      bytes: 1 << 20,
      memoryBytes: (1 << 20) + 65536,
      persistent: false,
      holders: 2,
      createdBy: 'worker',
    },
  ];
  const json = await ivshmem('dsm', 'status', '--json', '--socket', socket);
  t.strictSame(JSON.parse(json.output), { region: 'spaces', spaces });
  const view = new RegionView(other.device.memory, 'test');
  t.strictSame(view.spaces(), spaces, 'the shared table says the same');
  await worker.close();
  t.match(view.spaces(), [
    { name: 'kept', createdBy: null },
    { name: 'matrix', createdBy: null, holders: 1 },
  ]);

  const missing = await ivshmem('dsm', 'remove', 'nothing', '--socket', socket);
  t.match(missing, { code: 1, output: /no space of that name[\s\S]*ERR_IVSHMEM_SPACE_MISSING/ });
  t.match(await ivshmem('dsm', 'remove', 'x'.repeat(65), '--socket', socket), {
    code: 1,
    output: /no space of that name[\s\S]*ERR_IVSHMEM_SPACE_MISSING/,
  });
  const nowhere = await ivshmem('dsm', 'status', '--heat', '/no/such/folder/heat.svg', '--socket', socket);
  t.match(nowhere, {
    code: 1,
    output: /cannot open \/no\/such\/folder\/heat\.svg[\s\S]*ERR_IVSHMEM_CLI_SYSTEM/,
  });
  t.notMatch(nowhere.output, /\n +at /);
  const gone = await ivshmem('dsm', 'remove', 'kept', '--socket', socket);
  t.match(gone, { code: 0, output: 'kept is gone\n' });
  const held = await ivshmem('dsm', 'remove', 'matrix', '--json', '--socket', socket);
  t.match(JSON.parse(held.output), { space: 'matrix', holders: 1 });
  t.match(view.spaces(), [{ name: 'matrix' }]);
});
