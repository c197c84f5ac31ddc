import t from 'tap';
import { passedDescriptors } from '../../../src/host/restart/activation.ts';

t.test('sockets passed by systemd', async (t) => {
  const env: NodeJS.ProcessEnv = { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'red:blue', PATH: 'x' };
  t.same(
    [...passedDescriptors(env, 42).sockets],
    [
      ['red', 3],
      ['blue', 4],
    ],
  );
  t.same(env, { PATH: 'x' }, 'the variables are gone');
});

t.test('what was kept is told from sockets', async (t) => {
  const names = 'red:red.state:red.bell.0.1:a%2Eb.client.7:red.other';
  const passed = passedDescriptors({ LISTEN_PID: '42', LISTEN_FDS: '5', LISTEN_FDNAMES: names }, 42);
  t.same([...passed.sockets.keys()], ['red', 'red.other']);
  t.same(
    [...passed.kept],
    [
      ['red.state', 4],
      ['red.bell.0.1', 5],
      ['a%2Eb.client.7', 6],
    ],
  );
});

t.test('sockets for another process, or none', async (t) => {
  t.equal(passedDescriptors({}, 42).sockets.size, 0);
  t.equal(passedDescriptors({ LISTEN_PID: '41', LISTEN_FDS: '1', LISTEN_FDNAMES: 'a' }, 42).sockets.size, 0);
});

t.test('nonsense', async (t) => {
  const error = { code: 'ERR_IVSHMEM_SERVER_ACTIVATION' };
  t.throws(() => passedDescriptors({ LISTEN_PID: '42', LISTEN_FDS: 'x' }, 42), error);
  t.throws(() => passedDescriptors({ LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:a' }, 42), error);
  t.throws(() => passedDescriptors({ LISTEN_PID: '42', LISTEN_FDS: '2' }, 42), error);
});
