// One host in a process of its own, told what to do by messages: [number, method, ...arguments].
import { hostsBinding } from '../../src/native/hosts-binding.ts';
import { SpreadNode } from './spread-node.ts';

type Method = (...args: never[]) => unknown;

const node = new SpreadNode(JSON.parse(process.argv[2]!));
/** Nobody listens any more when the test is over. */
function say(message: object): void {
  if (process.connected) process.send!(message);
}

node.onEvent = (event) => say({ event });

const member = (slot: number) => node.members[slot - 1]!;

const methods: Record<string, Method> = {
  listen: () => node.engine.listen('127.0.0.1', 0),
  expect: (peer: number, name: string) => node.engine.expect(peer, name),
  connect: (peer: number, port: number) => node.engine.connect(peer, '127.0.0.1', port),
  disconnect: (peer: number) => node.engine.disconnect(peer),
  addSpace: (epoch?: number, alive?: number, forms?: boolean) => node.addSpace(epoch, alive, forms),
  install: (epoch: number, alive: number) => node.engine.install(7, BigInt(epoch), BigInt(alive)),
  fence: () => node.engine.fence(7),
  /** From now on, milliseconds. */
  lease: (fence: number, members: number) => {
    const at = (ms: number): bigint => process.hrtime.bigint() + BigInt(ms) * 1_000_000n;
    node.engine.lease(at(fence), at(members));
  },
  /** Stands still: whatever is to happen meanwhile happens without JavaScript. */
  block: (ms: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
  tell: (peer: number, text: string) => node.engine.tell(peer, text),
  status: () => {
    const { epoch, heat, ...rest } = node.engine.status(7);
    return { ...rest, epoch: Number(epoch), heat: [...heat] };
  },
  peer: (peer: number) => node.engine.peer(peer),
  join: async () => void (await node.join()),
  /** Fills pages with a byte each that says which page it is and who wrote it. */
  fill: async (slot: number, from: number, to: number, seed: number) => {
    for (let page = from; page < to; page++) {
      await member(slot).write(page, pattern(page, seed, member(slot).pageBytes));
    }
  },
  /** Pages of [from, to) that are not as fill() with this seed left them. */
  verify: async (slot: number, from: number, to: number, seed: number) => {
    const wrong: number[] = [];
    for (let page = from; page < to; page++) {
      const bytes = await member(slot).read(page);
      if (!bytes.equals(pattern(page, seed, bytes.length))) wrong.push(page);
    }
    return wrong;
  },
  increment: async (slot: number, page: number, times: number) => {
    for (let i = 0; i < times; i++) {
      await member(slot).increment(page);
      // Orders are done on turns of the loop: the others want it too.
      await new Promise((resolve) => setImmediate(resolve));
    }
  },
  /** Bytes [at, at + length) of a page, all the same. */
  paint: (slot: number, page: number, at: number, length: number, value: number) =>
    member(slot).write(page, new Uint8Array(length).fill(value), at),
  /** The first bytes of every so many pages. */
  paintAll: async (slot: number, step: number, end: number, value: number) => {
    const bytes = new Uint8Array(4).fill(value);
    for (let page = 0; page < end; page += step) await member(slot).write(page, bytes);
  },
  bytes: async (slot: number, page: number, at: number, length: number) => [
    ...(await member(slot).read(page)).subarray(at, at + length),
  ],
  flush: (slot: number) => member(slot).sync('flush'),
  refresh: (slot: number) => member(slot).sync('refresh'),
  value: async (slot: number, page: number) => (await member(slot).read(page)).readUInt32LE(),
  acquire: (slot: number, page: number, access: 'read' | 'write', count: number) =>
    member(slot).acquire(page, access, count),
  /** Asks for all of [from, to) at once: how many of them were answered with the page. */
  acquireAll: async (slot: number, from: number, to: number) => {
    await member(slot).acquire(from, 'read', to - from);
    return to - from;
  },
  right: (slot: number, page: number) => member(slot).right(page),
  idle: (slot: number, idle: boolean) => {
    member(slot).idle = idle;
    member(slot).step();
  },
  scribble: (slot: number, at: number, value: number) => {
    Atomics.store(member(slot).words, at, value);
    member(slot).mark();
  },
  post: (slot: number, page: string, access: number, count: number) =>
    member(slot).post(BigInt(page), access, count),
  /** Has a party look again, so often; nobody answers. */
  callAll: async (slot: number, party: string, times: number) => {
    const { faultHead, faultTail, faultEntries, wakeCall } = hostsBinding().abi;
    const { words } = member(slot);
    const full = (): boolean =>
      (words[faultHead! / 4]! - Atomics.load(words, faultTail! / 4)) >>> 0 >= faultEntries!;
    for (let i = 0; i < times; i++) {
      while (full()) await new Promise((resolve) => setImmediate(resolve));
      await member(slot).post(BigInt(party), wakeCall!, 1);
    }
  },
  leave: (slot: number) => node.engine.member(slot, -1),
};

function pattern(page: number, seed: number, bytes: number): Buffer {
  const words = new Uint32Array(bytes / 4);
  for (let i = 0, x = page * 2654435761 + seed; i < words.length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    words[i] = x;
  }
  return Buffer.from(words.buffer);
}

process.on('message', async ([number, name, ...args]: [number, string, ...never[]]) => {
  try {
    say({ number, result: (await methods[name]!(...args)) ?? null });
  } catch (error) {
    const { message, failure } = error as Error & { failure?: number };
    say({ number, error: message, failure });
  }
});
process.on('disconnect', () => {
  node.close();
  process.exit();
});
say({ ready: true });
