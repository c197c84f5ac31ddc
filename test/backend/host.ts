import { closeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { openHost } from '../../src/backend/host.ts';
import { Region } from '../../src/channel/region.ts';
import { createServer } from '../../src/host/index.ts';
import { IvshmemDevice } from '../../src/ivshmem/device.ts';
import { readHeader } from '../../src/memory/header.ts';
import { PAGE_BYTES } from '../../src/memory/layout.ts';
import { binding } from '../../src/native/binding.ts';
import { until } from '../support/protocol/until.ts';

let servers = 0;

/** A server of another make: sends what the test says to whoever connects. */
function foreignServer(t: Test, greet: (client: number) => void): string {
  const path = `@ivshmem-foreign-${process.pid}-${servers++}`;
  const listener = binding.socketListen(path, 8);
  const watch = new binding.FdWatch(listener, () => {
    const client = binding.socketAccept(listener);
    if (client >= 0) greet(client);
  });
  watch.start(true, false);
  t.teardown(() => {
    watch.close();
    closeSync(listener);
  });
  return path;
}

/** Closed at the end of the test. */
function eventfds(t: Test, count: number): number[] {
  const fds = Array.from({ length: count }, () => binding.eventfdCreate());
  t.teardown(() => {
    for (const fd of fds) closeSync(fd);
  });
  return fds;
}

t.test('a peer of our server', async (t) => {
  const socket = `@ivshmem-backend-${process.pid}`;
  const server = await createServer({ regions: [{ name: 'b', socket, size: '1M', vectors: 3 }] });
  t.teardown(() => server.close());
  const a = await openHost(socket);
  const b = await openHost(socket);
  t.same([a.kind, a.on, a.ivPosition, b.ivPosition], ['host', socket, 1, 2]);
  t.equal(a.interrupts.length, 3);
  a.ring(2, 1);
  a.ring(2, 1);
  t.same(
    b.interrupts.map((fd) => binding.eventfdDrain(fd)),
    [0, 2, 0],
  );
  a.ring(2, 3);
  a.ring(63, 0);
  a.ring(64, 0);
  a.ring(1, 0);
  t.equal(binding.eventfdDrain(a.interrupts[0]!), 1, 'its own doorbell works too');
  new Int32Array(a.memory.buffer)[200_000] = 7;
  t.equal(new Int32Array(b.memory.buffer)[200_000], 7);
  const { buffer } = a.memory;
  a.close();
  a.close();
  t.equal(buffer.byteLength, 0, 'the memory is detached');
  a.ring(2, 0);
  b.close();
});

t.test('the whole memory is mapped when it is asked for', async (t) => {
  const socket = `@ivshmem-lazy-${process.pid}`;
  const server = await createServer({ regions: [{ name: 'l', socket, size: '64M', vectors: 1 }] });
  t.teardown(() => server.close());
  const peer = await openHost(socket);
  const { tables } = peer;
  const heap = readHeader(tables!.buffer, peer.memoryBytes).heapPage * PAGE_BYTES;
  t.same([tables!.byteLength, peer.memoryBytes], [heap, 64 << 20]);
  t.equal(peer.memory.byteLength, 64 << 20);
  t.equal(peer.memory, peer.memory);
  new Int32Array(peer.memory.buffer)[5] = 0;
  t.equal(new Int32Array(tables!.buffer)[5], 0, 'both show the same');
  peer.close();
  t.same([tables!.byteLength, peer.memory.byteLength, peer.memoryBytes], [0, 0, 0]);

  const closed = await openHost(socket);
  closed.close();
  t.equal(closed.memory.byteLength, 0);
});

t.test(
  'who joins, listens and watches does not map the whole memory; who opens a channel does',
  async (t) => {
    const socket = `@ivshmem-lazy-join-${process.pid}`;
    const server = await createServer({ regions: [{ name: 'l', socket, size: '64M', vectors: 1 }] });
    t.teardown(() => server.close());
    let asked = 0;
    const [a, b] = await Promise.all(
      ['a', 'b'].map(async (name) => {
        const backend = await openHost(socket);
        const { memory } = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(backend));
        Object.defineProperty(backend, 'memory', {
          get: () => {
            asked++;
            return memory!.get!.call(backend);
          },
        });
        return Region.join(new IvshmemDevice(backend), { name });
      }),
    );
    const listener = await a!.listen('service');
    const membership = await b!.membership();
    t.equal(membership.list().length, 2);
    t.equal(asked, 0);
    const channel = await b!.connect('service');
    t.ok(asked > 0);
    await channel.close();
    listener.close();
    await Promise.all([a!.close(), b!.close()]);
  },
);

t.test(
  'becoming a peer closes no mapping: that would detach a buffer, and slow down every typed array',
  async (t) => {
    const socket = `@ivshmem-backend-whole-${process.pid}`;
    const server = await createServer({ regions: [{ name: 'b', socket, size: '1M', vectors: 2 }] });
    t.teardown(() => server.close());
    const own = binding.mapAnonymous(4096, false);
    const mappings = Object.getPrototypeOf(own) as { close(): void };
    const { close } = mappings;
    t.teardown(() => {
      mappings.close = close;
    });
    let closed = 0;
    mappings.close = function (): void {
      closed++;
      close.call(this);
    };
    const backend = await openHost(socket);
    t.equal(closed, 0);
    backend.close();
    t.equal(closed, 1, 'as closing does');
    own.close();
  },
);

t.test('a server of another make, whose peers come and go', async (t) => {
  const memory = binding.createMemfd('foreign', 4096, false, false);
  t.teardown(() => closeSync(memory));
  const [mine0, mine1, other0, other1, late] = eventfds(t, 5) as [number, number, number, number, number];
  let client = -1;
  const path = foreignServer(t, (connected) => {
    client = connected;
    binding.sendMessages(client, [0, 4, -1], [-1, -1, memory]);
    binding.sendMessages(client, [2, 2, 4, 4], [other0, other1, mine0, mine1]);
  });
  const backend = await openHost(path);
  t.teardown(() => backend.close());
  t.equal(backend.ivPosition, 4);
  t.equal(backend.interrupts.length, 2);
  t.equal(backend.memory.byteLength, 4096);
  backend.ring(2, 1);
  t.equal(binding.eventfdDrain(other1), 1);

  binding.sendMessage(client, 9, late);
  await until('the new peer can be rung', () => {
    backend.ring(9, 0);
    return binding.eventfdDrain(late) > 0;
  });
  binding.sendMessages(client, [2, 2, 777777, 4], [-1, -1, -1, -1]);
  await until('the departed peer cannot', () => {
    binding.eventfdDrain(other0);
    backend.ring(2, 0);
    return binding.eventfdDrain(other0) === 0;
  });
  closeSync(client);
  backend.ring(9, 0);
  await until('it works without its server', () => {
    backend.ring(9, 0);
    return binding.eventfdDrain(late) > 0;
  });
});

t.test('what goes wrong after the handshake is told: nobody new can be rung any more', async (t) => {
  const memory = binding.createMemfd('foreign', 4096, false, false);
  t.teardown(() => closeSync(memory));
  const [mine] = eventfds(t, 1) as [number];
  for (const [what, values] of [
    ['nonsense', [777777]],
    ['the end', []],
  ] as const) {
    let client = -1;
    const path = foreignServer(t, (connected) => {
      client = connected;
      binding.sendMessages(client, [0, 4, -1, 4], [-1, -1, memory, mine]);
    });
    const backend = await openHost(path);
    const warned: unknown[] = [];
    const listen = (warning: Error): number => warned.push((warning as { code?: string }).code);
    process.on('warning', listen);
    for (const value of values) binding.sendMessage(client, value, -1);
    closeSync(client);
    if (what === 'nonsense') await until('a warning', () => warned.length > 0);
    else for (let turns = 0; turns < 3; turns++) await nextTurn();
    process.off('warning', listen);
    t.same(warned, what === 'nonsense' ? ['ERR_IVSHMEM_HOST_DEAF'] : [], what);
    backend.ring(4, 0);
    t.equal(binding.eventfdDrain(mine), 1, 'what was set up works');
    backend.close();
  }
});

t.test('a connection that cannot be watched is closed', async (t) => {
  let client = -1;
  const path = foreignServer(t, (connected) => {
    client = connected;
  });
  const { FdWatch } = binding;
  class Refused {
    constructor() {
      throw Object.assign(new Error('EMFILE: too many open files, fcntl'), { code: 'EMFILE' });
    }
  }
  Object.assign(binding, { FdWatch: Refused });
  try {
    await t.rejects(openHost(path), { code: 'ERR_IVSHMEM_HOST_CONNECT', message: /EMFILE/ });
  } finally {
    Object.assign(binding, { FdWatch });
  }
  await until('the server sees it', () => client >= 0);
  await until('its end', () => binding.receiveMessage(client) === undefined);
  closeSync(client);
});

const memory = binding.createMemfd('bad', 4096, false, false);
const empty = binding.eventfdCreate();
t.teardown(() => {
  closeSync(memory);
  closeSync(empty);
});
const faults: readonly (readonly [string, number[], number[], string])[] = [
  ['another version', [1], [-1], 'VERSION'],
  ['not admitted', [1001], [-1], 'REFUSED'],
  ['full', [1002], [-1], 'REFUSED'],
  ['no descriptors', [1003], [-1], 'REFUSED'],
  ['not this protocol at all', [0x0a0d21212121], [-1], 'PROTOCOL'],
  ['a negative version', [-7], [-1], 'PROTOCOL'],
  ['a descriptor with the version', [0], [memory], 'PROTOCOL'],
  ['an ID too large', [0, 70000], [-1, -1], 'PROTOCOL'],
  ['a negative ID', [0, -1], [-1, -1], 'PROTOCOL'],
  ['a peer before the memory', [0, 1, 2], [-1, -1, memory], 'PROTOCOL'],
  ['memory without descriptor', [0, 1, -1], [-1, -1, -1], 'PROTOCOL'],
  ['memory of no size', [0, 1, -1], [-1, -1, empty], 'PROTOCOL'],
  ['memory twice', [0, 1, -1, -1], [-1, -1, memory, memory], 'PROTOCOL'],
];
for (const [what, values, fds, code] of faults) {
  t.test(`a server that sends ${what}`, async (t) => {
    const clients: number[] = [];
    const path = foreignServer(t, (client) => {
      clients.push(client);
      binding.sendMessages(client, values, fds);
    });
    await t.rejects(openHost(path), { code: `ERR_IVSHMEM_HOST_${code}` });
    for (const client of clients) closeSync(client);
  });
}

t.test('a server that closes in the middle, or says nothing, or is not there', async (t) => {
  const closing = foreignServer(t, (client) => {
    binding.sendMessages(client, [0, 1], [-1, -1]);
    closeSync(client);
  });
  await t.rejects(openHost(closing), { code: 'ERR_IVSHMEM_HOST_CLOSED' });
  const silent: number[] = [];
  const path = foreignServer(t, (client) => silent.push(client));
  await t.rejects(openHost(path, { timeoutMs: 50 }), { code: 'ERR_IVSHMEM_HOST_TIMEOUT' });
  for (const client of silent) closeSync(client);
  await t.rejects(openHost('/nonexistent/socket'), { code: 'ERR_IVSHMEM_HOST_CONNECT' });
  await t.rejects(openHost(`@ivshmem-nobody-${process.pid}`), { code: 'ERR_IVSHMEM_HOST_CONNECT' });
});
