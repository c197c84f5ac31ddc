import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { endReason, isExiting } from '../../../src/host/serve/end-reason.ts';
import { BACKENDS, REASON_CLOSED, REASON_CRASHED, REASON_UNPLUGGED } from '../../../src/memory/membership.ts';
import { until } from '../../support/protocol/until.ts';

const backend = (name: (typeof BACKENDS)[number]): number => BACKENDS.indexOf(name);

t.test('a process that lives let go by itself', async (t) => {
  t.notOk(isExiting(process.pid));
  t.equal(endReason(process.pid, backend('host')), REASON_CLOSED);
  t.equal(endReason(process.pid, backend('vfio')), REASON_UNPLUGGED);
  t.equal(endReason(process.pid, backend('uio')), REASON_UNPLUGGED);
  t.equal(endReason(process.pid, backend('unknown')), REASON_CRASHED);
});

t.test('one that is gone, or dead and not buried, crashed', async (t) => {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  const pid = child.pid!;
  t.notOk(isExiting(pid));
  // Stopped parents bury nobody: the child of a shell that does not wait stays a zombie.
  const shell = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 1000'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => shell.kill('SIGKILL'));
  const [line] = (await once(shell.stdout!, 'data')) as [Buffer];
  const zombie = Number(line.toString());
  await until('it is dead', () => isExiting(zombie));
  t.equal(endReason(zombie, backend('host')), REASON_CRASHED);
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.ok(isExiting(pid));
  t.equal(endReason(pid, backend('vfio')), REASON_CRASHED);
});
