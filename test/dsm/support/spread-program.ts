/** A member of a spread space that does what lines on standard input say (spread-member.ts); in a worker, one that counts. */
import { once } from 'node:events';
import { closeSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { deflateRaw, inflateRawSync } from 'node:zlib';
import { attachmentOf } from '../../../src/channel/attachments.ts';
import { SpreadMapping, type SpreadPlace } from '../../../src/dsm/spread/mapping.ts';
import type { Pin } from '../../../src/dsm/spread/pins.ts';
import { SpreadSpace } from '../../../src/dsm/spread/space.ts';
import { open, type Region } from '../../../src/index.ts';
import { binding } from '../../../src/native/binding.ts';
import { joinUnpluggable } from '../../net/support/unpluggable.ts';
import { until } from '../../support/protocol/until.ts';

/** Of the global object, as far as it is needed here. */
interface Assembly {
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: { at(address: number): number } };
}

const [socket, json] = isMainThread
  ? (process.argv.slice(2) as [string, string])
  : (workerData as [string, string]);
const place: SpreadPlace = JSON.parse(json);
const PAGE = 4096;

async function openSpread(region: Region, where = place): Promise<SpreadSpace> {
  const mapping = await SpreadMapping.open(attachmentOf(region), 'open the space s', where);
  const parts = {
    name: 's',
    created: true,
    persistent: false,
    consistency: 'sequential',
    replicas: 1,
  } as const;
  return new SpreadSpace({ ...parts, mapping, release: async () => {} });
}

const deflate = promisify(deflateRaw) as (bytes: Uint8Array) => Promise<Buffer>;
let space: SpreadSpace;
let unplug = (): void => {};
const pins = new Map<number, Pin>();
const open_ = new Map<number, Promise<Pin>>();
const words = () => new Int32Array(space.buffer, 0, space.byteLength >> 2);

const deeds: Record<string, (...args: never[]) => unknown> = {
  counts: () => space.counts(),
  /** Plain stores, one to each word. */
  fill: (factor: number) => {
    const view = words();
    for (let i = 0; i < view.length; i++) view[i] = i * factor;
  },
  /** How many words are not as fill left them. */
  wrong: (factor: number) => {
    const view = words();
    let wrong = 0;
    for (let i = 0; i < view.length; i++) if (view[i] !== ((i * factor) | 0)) wrong++;
    return wrong;
  },
  load: (page: number) => new Int32Array(space.buffer)[(page * PAGE) / 4],
  store: (page: number, value: number) => {
    new Int32Array(space.buffer)[(page * PAGE) / 4] = value;
  },
  /** Each way that a program gets at bytes, each on a page that was not touched yet. */
  ways: () => {
    const { buffer } = space;
    const bytes = Buffer.from(buffer);
    new Float64Array(buffer, PAGE, 4).set([1.5, Number.POSITIVE_INFINITY, -0, Math.PI]);
    new DataView(buffer).setBigUint64(2 * PAGE + 3, 0x1122334455667788n);
    bytes.write('pages that move', 3 * PAGE, 'utf8');
    bytes.copy(bytes, 4 * PAGE, 3 * PAGE, 3 * PAGE + 15);
    bytes.fill(7, 5 * PAGE, 6 * PAGE);
    const atomics = new BigInt64Array(buffer, 6 * PAGE, 2);
    Atomics.add(atomics, 0, 5n);
    Atomics.compareExchange(atomics, 0, 5n, 6n);
    new Uint8Array(buffer).copyWithin(7 * PAGE, 3 * PAGE, 5 * PAGE);
    new Uint16Array(buffer, 9 * PAGE, 100).fill(9).sort();
    new TextEncoder().encodeInto('héllo', new Uint8Array(buffer, 10 * PAGE, 16));
    const copy = buffer.slice(5 * PAGE, 6 * PAGE);
    return [
      [...new Float64Array(buffer, PAGE, 4)].map(String),
      new DataView(buffer).getBigUint64(2 * PAGE + 3).toString(16),
      bytes.toString('utf8', 4 * PAGE, 4 * PAGE + 15),
      new Uint8Array(copy).every((byte) => byte === 7),
      String(atomics[0]),
      bytes.toString('utf8', 8 * PAGE, 8 * PAGE + 15),
      new Uint16Array(buffer, 9 * PAGE, 101).indexOf(0),
      bytes.indexOf('héllo', 10 * PAGE),
      bytes.compare(bytes, 3 * PAGE, 3 * PAGE + 15, 4 * PAGE, 4 * PAGE + 15),
    ];
  },
  /** Adds 1 so often, by plain loads and stores and by Atomics, to words of a page. */
  add: (page: number, times: number) => {
    const view = new Int32Array(space.buffer, page * PAGE, 2);
    for (let i = 0; i < times; i++) {
      view[0]!++;
      Atomics.add(view, 1, 1);
    }
    return [...view];
  },
  /** Adds 1 by plain loads and stores until the first word of another page is not 0; how often. */
  addUntil: (page: number, flag: number) => {
    const view = new Int32Array(space.buffer);
    let times = 0;
    while (Atomics.load(view, (flag * PAGE) / 4) === 0) {
      for (let i = 0; i < 100; i++) view[(page * PAGE) / 4]!++;
      times += 100;
    }
    return times;
  },
  /** The same by Atomics. */
  addAtomicUntil: (page: number, flag: number) => {
    const view = new Int32Array(space.buffer);
    let times = 0;
    for (; Atomics.load(view, (flag * PAGE) / 4) === 0; times++) Atomics.add(view, (page * PAGE) / 4, 1);
    return times;
  },
  /** Collections of the heap, while views of the space come and go. */
  gc: (rounds: number) => {
    let sum = 0;
    for (let round = 0; round < rounds; round++) {
      const garbage = Array.from({ length: 2000 }, (_, i) => new Uint8Array(64).fill(i));
      const view = new Uint8Array(space.buffer, (round % 16) * PAGE, PAGE);
      view[round] = garbage[round]![0]!;
      sum += view[round]!;
      (globalThis as { gc?: () => void }).gc!();
    }
    return sum;
  },
  /** WebAssembly beside it: its bounds checks are faults too, which go to V8 as before. */
  wasm: () => {
    // (module (memory 1) (func (export "at") (param i32) (result i32) (i32.load (local.get 0))))
    const code =
      '0061736d0100000001060160017f017f030201000503010001070601026174000' + '00a0901070020002802000b';
    const { Module, Instance } = (globalThis as unknown as { WebAssembly: Assembly }).WebAssembly;
    const { at } = new Instance(new Module(Buffer.from(code, 'hex'))).exports;
    const caught: string[] = [];
    for (let page = 0; page < 3; page++) {
      try {
        at(0x7fffffff);
      } catch (error) {
        caught.push((error as Error).name);
      }
      new Int32Array(space.buffer)[(page * PAGE) / 4] = page + at(0);
    }
    return caught;
  },
  /** Threads of libuv's pool read one page, all at the same time. */
  pool: async (page: number, threads: number) => {
    const bytes = new Uint8Array(space.buffer, page * PAGE, PAGE);
    const packed = await Promise.all(Array.from({ length: threads }, () => deflate(bytes)));
    return packed.map((data) => inflateRawSync(data).every((byte, i) => byte === i % 251));
  },
  /** Workers with members of their own, and this thread, add to one word. */
  workers: async (count: number, times: number) => {
    const workers = Array.from({ length: count }, () => {
      const load = `import('tsx/esm/api').then(({ tsImport }) => tsImport('${import.meta.url}', '${import.meta.url}'))`;
      const worker = new Worker(load, { eval: true, workerData: [socket, json, times] });
      worker.on('error', (error) => {
        throw error;
      });
      return worker;
    });
    const slots = await Promise.all(workers.map((worker) => once(worker, 'message')));
    for (const worker of workers) worker.postMessage('begin');
    const view = new Int32Array(space.buffer);
    for (let i = 0; i < times; i++) Atomics.add(view, 0, 1);
    await Promise.all(workers.map((worker) => once(worker, 'exit')));
    return { sum: Atomics.load(view, 0), slots: new Set(slots.flat()).size };
  },
  acquire: async (id: number, offset: number, length: number, access: 'read' | 'write') => {
    pins.set(id, await space.acquire(offset, length, access));
  },
  /** The same, without waiting for it: see `begun`. */
  begin: (id: number, offset: number, length: number, access: 'read' | 'write') => {
    const pin = space.acquire(offset, length, access);
    pin.catch(() => {});
    open_.set(id, pin);
  },
  begun: async (id: number) => void pins.set(id, await open_.get(id)!),
  release: (id: number) => pins.get(id)!.release(),
  hint: (offset: number, length: number, advice: 'dont-need') => space.hint(offset, length, advice),
  flush: () => space.flush(),
  /** A system call that stores to the memory. */
  read: (offset: number, length: number) => {
    const file = join(tmpdir(), `ivshmem-spread-${process.pid}`);
    writeFileSync(file, Buffer.alloc(length, 0x61));
    const fd = openSync(file, 'r');
    rmSync(file);
    try {
      return readSync(fd, Buffer.from(space.buffer, offset, length));
    } finally {
      closeSync(fd);
    }
  },
  /** A store that has nothing to do with the space, to memory that is not to be written. */
  crash: () => {
    const fd = binding.createMemfd('read-only', PAGE, false, false);
    new Uint8Array(binding.mapFile(fd, 0, PAGE, false).buffer)[0] = 1;
  },
  /** Closes while a thread of the pool waits for a page. What that thread read. */
  closeUnderFault: async (page: number) => {
    const packed = deflate(new Uint8Array(space.buffer, page * PAGE, PAGE));
    await until('a thread to wait', () => space.counts().readFaults > 0, 60);
    await space.close();
    return [space.buffer.byteLength, inflateRawSync(await packed).every((byte) => byte === 0)];
  },
  close: async () => {
    await space.close();
    return [space.closed, space.buffer.byteLength];
  },
  reopen: async () => {
    space = await openSpread(region);
  },
  refused: (deed: string) => deeds[deed]!(),
  openOther: async (change: Partial<SpreadPlace>) => {
    await (await openSpread(region, { ...place, ...change })).close();
  },
  mutex: () => space.mutex('m'),
  /** What a view of the memory shows when the device has gone, and then. */
  unplug: () => {
    const bytes = new Uint8Array(space.buffer);
    let seen = -1;
    region.onRemoved(() => {
      seen = bytes[0]!;
    });
    unplug();
    return [seen, bytes.length, space.closed];
  },
};

let region: Region;
if (!isMainThread) {
  region = await open({ socket, name: `w-${Math.random().toString(36).slice(2)}`, addresses: [] });
  space = await openSpread(region);
  parentPort!.postMessage(region.slot);
  // All of them have it open by then.
  await once(parentPort!, 'message');
  const view = new Int32Array(space.buffer);
  const times = (workerData as [string, string, number])[2];
  for (let i = 0; i < times; i++) Atomics.add(view, 0, 1);
  await space.close();
  await region.close();
} else {
  const joined = await joinUnpluggable(socket, { name: `m-${process.pid}`, addresses: [] });
  ({ region } = joined);
  unplug = joined.unplug;
  space = await openSpread(region);
  const say = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);
  say({ value: region.slot });
  for await (const line of createInterface(process.stdin)) {
    const { deed, args } = JSON.parse(line) as { deed: string; args: never[] };
    try {
      say({ value: (await deeds[deed]!(...args)) ?? null });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      say({ error: { code, message } });
    }
  }
  process.exit();
}
