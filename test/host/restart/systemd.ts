import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { open } from '../../../src/index.ts';
import { Asking, echoMember } from '../../support/echo-members.ts';
import { lackingSystemd, PrivateSystemd } from '../../support/private-systemd.ts';
import { until } from '../../support/protocol/until.ts';
import { bundledServer, serverStatus } from '../../support/supervised-server.ts';

/** Of the unit that is shipped: what makes a restart. The rest is for a system's manager, on a system. */
const KEPT_KEYS = /^(Type|NotifyAccess|FileDescriptorStoreMax|Restart|RestartSec|StartLimitIntervalSec)=/;

function unit(command: string): string {
  const shipped = readFileSync(new URL('../../../systemd/ivshmem-server.service', import.meta.url), 'utf8');
  const lines = shipped.split('\n').filter((line) => line.startsWith('[') || KEPT_KEYS.test(line));
  return lines.map((line) => (line === '[Service]' ? `${line}\nExecStart=${command}` : line)).join('\n');
}

t.test(
  "systemd's descriptor store keeps the regions",
  { skip: lackingSystemd(), timeout: 110_000 },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'ivshmem-restart-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const socket = join(folder, 'region.sock');
    const program = await bundledServer();
    const command = `${process.execPath} ${program} server --socket ${socket} --size 16M --slots 16`;
    const systemd = await PrivateSystemd.start({ 'ivshmem.service': unit(command) });
    t.teardown(() => systemd.stop());
    t.equal(await systemd.control('start', 'ivshmem.service'), '', 'it says READY');
    const mainPid = (): Promise<string> =>
      systemd.control('show', '--value', '-p', 'MainPID', 'ivshmem.service');

    const one = await echoMember(socket, 'one');
    t.teardown(() => one.close());
    const two = await open({ socket, name: 'two' });
    t.teardown(() => two.close());
    const asking = new Asking(await two.connect('echo-one'));
    for (const how of ['kill', 'restart', 'kill', 'restart'] as const) {
      const pid = await mainPid();
      const { answers } = asking;
      await systemd.control(...(how === 'kill' ? ['kill', '-s', 'KILL'] : ['restart']), 'ivshmem.service');
      await until(`another server is active after ${how}`, async () => {
        const state = await systemd.control('is-active', 'ivshmem.service');
        return state === 'active' && (await mainPid()) !== pid;
      });
      const { members, channels } = await serverStatus(socket);
      t.same([members.map(({ name }) => name), channels], [['one', 'two'], 1], `after ${how}`);
      // What needs a server works as well.
      const channel = await two.connect('echo-one');
      await channel.close();
      await until('answers come', () => asking.answers > answers);
    }
    await asking.stop();
    await two.close();
    await one.close();
    await systemd.control('stop', 'ivshmem.service');
    t.equal(await systemd.control('show', '--value', '-p', 'NFileDescriptorStore', 'ivshmem.service'), '0');
  },
);
