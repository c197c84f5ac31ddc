import { CommanderError } from 'commander';
import t from 'tap';
import { fail } from '../../src/cli/fail.ts';
import { formatBytes } from '../../src/cli/print.ts';
import { IvshmemError } from '../../src/errors/index.ts';

function run(error: unknown): { status: number; text: string } {
  let text = '';
  const status = fail(error, (more) => {
    text += more;
  });
  return { status, text };
}

t.test('catalogued errors: message, remedy, code and the status of their kind', async (t) => {
  t.same(run(new IvshmemError('ERR_IVSHMEM_DEVICE_AMBIGUOUS', { candidates: 'a, b' })), {
    status: 2,
    text: 'ivshmem: cannot choose an ivshmem device: several match: a, b.\n  Name one by its PCI address or by its region name.\n  [ERR_IVSHMEM_DEVICE_AMBIGUOUS]\n',
  });
  t.equal(run(new IvshmemError('ERR_IVSHMEM_BIND_NOT_ROOT', { action: 'bind' })).status, 1);
});

t.test('usage errors of commander', async (t) => {
  const unknown = run(
    new CommanderError(1, 'commander.unknownOption', "error: unknown option '--x'\n(Did you mean y?)"),
  );
  t.equal(unknown.status, 2);
  t.match(
    unknown.text,
    /unknown option '--x' \(Did you mean y\?\)\.\n {2}See `ivshmem --help`.*\n.*ERR_IVSHMEM_CLI_USAGE/,
  );
  t.same(run(new CommanderError(0, 'commander.helpDisplayed', '(outputHelp)')), { status: 0, text: '' });
  t.same(run(new CommanderError(1, 'commander.help', '(outputHelp)')), { status: 2, text: '' });
});

t.test('what the kernel refuses: what was tried, on what, and why', async (t) => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
    ...{ errno: -28, code: 'ENOSPC', syscall: 'write' },
  });
  t.same(run(full), {
    status: 1,
    text: 'ivshmem: cannot write: ENOSPC: no space left on device, write.\n  Check the path or the address, that this user may use it, and that there is room.\n  [ERR_IVSHMEM_CLI_SYSTEM]\n',
  });
  const open = { errno: -2, code: 'ENOENT', syscall: 'open', path: '/no/file' };
  t.match(run(Object.assign(new Error('ENOENT'), open)).text, /cannot open \/no\/file: ENOENT/);
  const listen = { errno: -99, code: 'EADDRNOTAVAIL', syscall: 'listen', address: '192.0.2.1', port: 7 };
  t.match(run(Object.assign(new Error('no'), listen)).text, /cannot listen 192\.0\.2\.1:7: no/);
});

t.test('anything else is our fault and shows its stack', async (t) => {
  const bug = run(new TypeError('x is not a function'));
  t.equal(bug.status, 1);
  t.match(bug.text, /unexpected error, please report it\nTypeError: x is not a function\n +at /);
  t.same(run('thrown text'), {
    status: 1,
    text: 'ivshmem: unexpected error, please report it\nthrown text\n',
  });
  const bare = Object.assign(new Error('bare'), { stack: undefined });
  t.match(run(bare).text, /bare\n$/);
});

t.test('sizes', async (t) => {
  t.same([0, 512, 1024, 1536, 4 << 20, 3 * 2 ** 40, 2 ** 51].map(formatBytes), [
    '0 B',
    '512 B',
    '1 KiB',
    '1.5 KiB',
    '4 MiB',
    '3 TiB',
    '2048 TiB',
  ]);
});
