import { closeSync, readdirSync } from 'node:fs';
import t from 'tap';
import { silentLog } from '../../../src/host/log.ts';
import { DescriptorStore } from '../../../src/host/restart/descriptor-store.ts';
import { keeperOf, RegionKeeper } from '../../../src/host/restart/keeper.ts';
import { binding } from '../../../src/native/binding.ts';

const REGIONS = [{ name: 'red', slots: 4, vectors: 2 }];
const descriptors = (): number => readdirSync('/proc/self/fd').length;
let sockets = 0;
const fresh = (): string => `@ivshmem-keeper-test-${process.pid}-${sockets++}`;

t.test('what a region gives is held, and let go of', async (t) => {
  const before = descriptors();
  const name = fresh();
  const told: string[] = [];
  const store = new DescriptorStore(name, (pid) => pid === process.pid, {
    ready: () => told.push('ready'),
    stopping: () => told.push('stopping'),
    failed: (error) => {
      throw error;
    },
  });
  const keeper = keeperOf({ NOTIFY_SOCKET: name }, silentLog, REGIONS, true)!;
  const region = new RegionKeeper(keeper, 'red.1');
  const eventfd = binding.eventfdCreate();
  const other = binding.eventfdCreate();
  region.keep('bell.0.0', eventfd);
  region.keep('client.3', eventfd);
  keeper.ready();
  store.drain();
  t.same([...store.kept.keys()], ['red%2E1.bell.0.0', 'red%2E1.client.3']);
  t.same(told, ['ready']);
  binding.eventfdSignal(store.kept.get('red%2E1.bell.0.0')!);
  t.equal(binding.eventfdDrain(eventfd), 1, 'the same open file');

  region.keep('bell.0.0', other);
  region.forget('client.3');
  region.forget('client.4');
  store.drain();
  t.same([...store.kept.keys()], ['red%2E1.bell.0.0']);
  binding.eventfdSignal(other);
  t.equal(binding.eventfdDrain(store.kept.get('red%2E1.bell.0.0')!), 1, 'the newer one');

  region.forgetAll();
  keeper.stopping();
  store.drain();
  t.equal(store.kept.size, 0);
  t.same(told, ['ready', 'stopping']);
  for (const fd of [eventfd, other]) closeSync(fd);
  store.close();
  t.equal(descriptors(), before);
});

t.test('nobody else can give or take', async (t) => {
  const before = descriptors();
  const name = fresh();
  const ignore = (): void => void t.fail('nobody is trusted');
  const store = new DescriptorStore(name, () => false, { ready: ignore, stopping: ignore, failed: ignore });
  const eventfd = binding.eventfdCreate();
  binding.datagramSend(name, 'FDSTORE=1\nFDNAME=x\nREADY=1', eventfd);
  binding.datagramSend(name, 'nonsense', eventfd);
  store.drain();
  t.equal(store.kept.size, 0);
  closeSync(eventfd);
  store.close();
  t.equal(descriptors(), before);
});

t.test('a keeper that is gone, or cannot hold so much', async (t) => {
  t.equal(keeperOf({}, silentLog, REGIONS, false), null);
  const errors: unknown[] = [];
  const log = { ...silentLog, error: (...about: unknown[]) => void errors.push(about.at(-1)) };
  const gone = keeperOf({ NOTIFY_SOCKET: fresh() }, log, REGIONS, false)!;
  gone.ready();
  gone.keep('x', 0);
  t.match(errors, [/cannot reach/], 'told once');
  const many = [{ name: 'huge', slots: 256, vectors: 256 }];
  t.equal(keeperOf({ NOTIFY_SOCKET: fresh() }, log, many, false)!.holds, false);
  t.match(errors[1], /too many/);
  t.equal(keeperOf({ NOTIFY_SOCKET: fresh() }, log, many, true)!.holds, true, 'a supervisor can');
});
