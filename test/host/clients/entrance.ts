import { closeSync } from 'node:fs';
import t, { type Test } from 'tap';
import { Entrance, MOST_WAITING } from '../../../src/host/clients/entrance.ts';
import { binding } from '../../../src/native/binding.ts';
import { until } from '../../support/protocol/until.ts';

let rooms = 0;

/** An entrance with two tokens per process and five per user, and sockets that knock at it. */
function room(t: Test, perSecond: number) {
  const path = `@ivshmem-entrance-${process.pid}-${rooms++}`;
  const listening = binding.socketListen(path, 512);
  const open = new Set<number>([listening]);
  const entered: string[] = [];
  const names = new Map<number, string>();
  const rates = { process: { burst: 2, perSecond }, user: { burst: 5, perSecond } };
  const failures: unknown[] = [];
  const enter = (socket: number): void => {
    const name = names.get(socket)!;
    if (name.startsWith('bad')) throw new Error(name);
    entered.push(name);
    closeSync(socket);
  };
  const entrance = new Entrance(rates, enter, (error) => failures.push((error as Error).message));
  t.teardown(() => {
    entrance.close();
    for (const fd of open) closeSync(fd);
  });
  return {
    entrance,
    entered,
    failures,
    /** The client's end, and what became of it. */
    knock(name: string, pid: number, uid: number): { client: number; found: 'passed' | 'waits' | 'refused' } {
      const client = binding.socketConnect(path);
      open.add(client);
      const socket = binding.socketAccept(listening);
      names.set(socket, name);
      const credentials = { pid, uid, gid: 0 };
      if (entrance.pass(credentials)) {
        closeSync(socket);
        return { client, found: 'passed' };
      }
      if (entrance.wait(socket, credentials)) return { client, found: 'waits' };
      closeSync(socket);
      return { client, found: 'refused' };
    },
    hangUp(client: number): void {
      open.delete(client);
      closeSync(client);
    },
  };
}

t.test('who comes too often waits, first come first served, and nobody else does', async (t) => {
  const { entrance, entered, knock } = room(t, 20);
  const found = [1, 2, 3, 4].map((n) => knock(`a${n}`, 1, 1000).found);
  t.same(found, ['passed', 'passed', 'waits', 'waits']);
  t.equal(knock('b', 2, 1000).found, 'passed', 'another process');
  t.equal(knock('c', 1, 1001).found, 'passed', 'another user with the same pid, of another namespace');
  await until('all are in', () => entrance.waiting === 0);
  t.same(entered, ['a3', 'a4']);
});

t.test('a process that forks for each connection has the bucket of its user', async (t) => {
  const { entrance, entered, knock } = room(t, 20);
  const found = [1, 2, 3, 4, 5, 6, 7].map((pid) => knock(`a${pid}`, pid, 1000).found);
  t.same(found, [...Array(5).fill('passed'), 'waits', 'waits']);
  t.equal(knock('b', 1, 1001).found, 'passed', 'another user');
  await until('all are in', () => entrance.waiting === 0);
  t.same(entered, ['a6', 'a7']);
});

t.test('not too many wait, and those who hung up make room', async (t) => {
  const { entrance, entered, knock, hangUp } = room(t, 0.001);
  const clients = Array.from({ length: 2 + MOST_WAITING.process }, (_, n) => knock(`a${n}`, 1, 1000));
  t.equal(entrance.waiting, MOST_WAITING.process);
  t.equal(knock('more', 1, 1000).found, 'refused');
  hangUp(clients.at(-1)!.client);
  hangUp(clients.at(-2)!.client);
  t.equal(knock('later', 1, 1000).found, 'waits');
  t.equal(entrance.waiting, MOST_WAITING.process - 1);
  for (let pid = 2; entrance.waiting < MOST_WAITING.user; pid++) knock('of the user', pid, 1000);
  t.equal(knock('one more', 999, 1000).found, 'refused');
  t.equal(knock('of another', 999, 1001).found, 'passed');
  t.same(entered, []);
});

t.test('it pauses for a server that hands over, and goes on', async (t) => {
  const { entrance, entered, knock } = room(t, 100);
  for (let n = 0; n < 3; n++) knock(`a${n}`, 1, 1000);
  entrance.pause();
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(entrance.waiting, 1);
  entrance.resume();
  await until('it is in', () => entered.length === 1);
});

t.test('buckets of processes that are gone are forgotten', async (t) => {
  const { entrance, knock, hangUp } = room(t, 1e6);
  for (let pid = 0; pid < 600; pid++) {
    const { client, found } = knock('a', pid, pid);
    hangUp(client);
    if (found !== 'passed') t.equal(found, 'passed');
  }
  t.ok(entrance.known < 600, `${entrance.known} of 1200`);
});

t.test('one who cannot be let in is hung up on, and nobody else', async (t) => {
  const { entrance, entered, failures, knock } = room(t, 20);
  for (const name of ['a', 'b']) knock(name, 1, 1000);
  const { client } = knock('bad', 1, 1000);
  knock('good', 1, 1000);
  await until('both had their turn', () => entrance.waiting === 0);
  t.same([entered, failures], [['good'], ['bad']]);
  t.equal(binding.receiveMessage(client), undefined, 'its socket is closed');
});
