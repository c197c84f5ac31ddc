import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { PciSysfs } from '../../src/pci/sysfs.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

function ivshmem(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', main, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, IVSHMEM_SOCKET: '' },
  });
  return { status, stdout, stderr };
}

/** What the commands say depends on the machine: these run where it has no ivshmem device. */
const noDevice =
  new PciSysfs().find(0x1af4, 0x1110).length > 0 ? 'this machine has an ivshmem device' : false;

t.test('--version and --help end with 0', async (t) => {
  t.match(ivshmem('--version'), { status: 0, stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' });
  const help = ivshmem('--help');
  t.equal(help.status, 0);
  for (const command of ['bind', 'unbind', 'status', 'doctor', 'members', 'top', 'evict'])
    t.match(help.stdout, ` ${command} `);
});

t.test('usage errors end with 2 and say so on stderr only', async (t) => {
  for (const args of [['no-such-command'], ['bind', '--no-such-flag'], ['bind', '--driver', 'nvme']]) {
    const result = ivshmem(...args);
    t.match(result, { status: 2, stdout: '', stderr: /ERR_IVSHMEM_CLI_USAGE/ }, args.join(' '));
  }
});

t.test('failures end with 1', { skip: noDevice }, async (t) => {
  t.match(ivshmem('bind'), {
    status: 1,
    stdout: '',
    stderr: /no PCI device 1af4:1110[\s\S]*ERR_IVSHMEM_DEVICE_ABSENT/,
  });
  t.match(ivshmem('doctor', '--guest', '--json'), { status: 1, stderr: '' });
});

t.test('status and unbind of nothing are fine', { skip: noDevice }, async (t) => {
  t.match(ivshmem('status', '--json'), { status: 0, stdout: '{\n  "devices": [],\n  "units": []\n}\n' });
  t.match(ivshmem('unbind', '--dry-run'), { status: 0, stdout: 'nothing is bound\n' });
});

t.test('a disk that is full under what is printed is said in one line', { skip: noDevice }, async (t) => {
  const command = `"${process.execPath}" --import tsx "${main}" status > /dev/full`;
  const { status, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8', timeout: 60_000 });
  t.equal(status, 1);
  t.match(stderr, /ENOSPC[\s\S]*ERR_IVSHMEM_CLI_SYSTEM/);
  t.notMatch(stderr, /\n +at /);
});
