import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { guestProgram } from '../../qemu/product.ts';
import type { Vm } from '../../qemu/vm.ts';
import { openHost } from '../../src/backend/host.ts';
import { IvshmemDevice } from '../../src/ivshmem/device.ts';
import { Fleet, lastJson } from './support/fleet.ts';
import { plug, unplug } from './support/hot-plug.ts';

t.setTimeout(600_000);

/** Small enough for the 2 MiB that firmware sets aside behind an empty port for a device to be plugged in. */
const REGION_BYTES = 1 << 20;
const PLAIN_BYTES = 1 << 20;
const VECTOR = 1;
const STOP = -1;
const ROUNDS = 200;
const entry = fileURLToPath(new URL('guest/device.ts', import.meta.url));
const skip = process.getuid?.() === 0 ? false : 'needs root to build the guest image';
const answer = (...words: string[]): string[] => guestProgram('device', 'answer', ...words);

/** The test itself as a peer on the host. */
class Asker {
  readonly device: IvshmemDevice;
  readonly words: Int32Array;
  #heard = 0;
  #wake = (): void => {};

  constructor(device: IvshmemDevice) {
    this.device = device;
    this.words = new Int32Array(device.memory, device.memory.byteLength - 4096, 1024);
    this.words[0] = 0;
    device.onInterrupt(VECTOR, (count) => {
      this.#heard += count;
      this.#wake();
    });
    device.keepAlive(true);
  }

  static async create(t: Test, fleet: Fleet): Promise<Asker> {
    const device = new IvshmemDevice(await openHost(fleet.socket));
    t.teardown(() => device.close());
    return new Asker(device);
  }

  /** Asks `count` times, one after the other. Resolves when all is answered and as many doorbells were heard. */
  async ask(peer: number, count: number): Promise<void> {
    const enough = this.#heard + count;
    Atomics.store(this.words, 1, this.device.ivPosition);
    for (let n = 1; n <= count; n++) {
      const request = this.words[0]! + 1;
      Atomics.store(this.words, 0, request);
      this.device.ring(peer, VECTOR);
      await this.#until(() => Atomics.load(this.words, 2) === 3 * request + 1, `answer to ${request}`);
    }
    // An answer is seen in memory before its doorbell rings.
    await this.#until(() => this.#heard >= enough, `doorbell ${enough}`);
  }

  /** Looks again at each doorbell. */
  async #until(passes: () => boolean, what: string): Promise<void> {
    while (!passes())
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`no ${what}, ${this.#heard} doorbells heard`)),
          180_000,
        );
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
  }

  stop(peer: number): void {
    Atomics.store(this.words, 0, STOP);
    this.device.ring(peer, VECTOR);
  }
}

interface Ready {
  kind: string;
  ivPosition: number;
  vectors: number;
  bytes: number;
}

async function start(vm: Vm, words: string[]) {
  const child = vm.spawn(words, { user: 'app' });
  const [line] = await child.waitFor(/\{"ready".*\}/);
  return { child, ready: JSON.parse(line) as Ready };
}

t.test('the device in a guest: both drivers, doorbells both ways, unplug', { skip }, async (t) => {
  const fleet = await Fleet.create(t, REGION_BYTES, { device: entry });
  const directory = mkdtempSync(join(tmpdir(), 'ivshmem-plain-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const memory = join(directory, 'memory');
  writeFileSync(memory, '');
  truncateSync(memory, PLAIN_BYTES);
  const vm = await fleet.boot('device', {
    ivshmem: [
      { kind: 'doorbell', server: fleet.socket },
      { kind: 'plain', memory, size: PLAIN_BYTES },
    ],
    ports: 1,
  });
  const [doorbell, plain] = (await vm.check('lspci -Dnd 1af4:1110'))
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[0]!);
  const asker = await Asker.create(t, fleet);

  await t.test('before it is bound, the error says what to do', async (t) => {
    const { status, stdout } = await vm.run(answer('auto', doorbell!), { user: 'app' });
    t.equal(status, 1);
    t.match(lastJson(stdout), { code: 'ERR_IVSHMEM_DEVICE_UNBOUND', remedy: /ivshmem bind/ });
  });

  for (const { driver, backend, vectors } of [
    { driver: 'vfio-pci', backend: 'vfio', vectors: 2 },
    { driver: 'uio_pci_generic', backend: 'uio', vectors: 0 },
  ])
    await t.test(`${driver}, unprivileged`, async (t) => {
      await vm.check(`ivshmem bind --driver ${driver} --user app ${doorbell}`);
      const { child, ready } = await start(vm, answer('auto', doorbell!));
      t.match(ready, { kind: backend, vectors, bytes: REGION_BYTES });
      await asker.ask(ready.ivPosition, ROUNDS);
      t.equal(asker.words[2], 3 * asker.words[0]! + 1, `${ROUNDS} questions asked, answered and rung`);
      if (backend === 'vfio') {
        const { status, stdout } = await vm.run(answer('vfio', doorbell!), { user: 'app' });
        t.equal(status, 1);
        t.match(lastJson(stdout), { code: 'ERR_IVSHMEM_GROUP_BUSY' }, 'one process at a time');
      }
      asker.stop(ready.ivPosition);
      const { status, stdout } = await child.wait();
      t.equal(status, 0);
      const [, stopped, closed] = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      t.equal(stopped.stopped, true);
      // QEMU may deliver one more while it sets vectors up (ivshmem spec); none may be missing.
      if (backend === 'vfio')
        t.ok(stopped.counts[VECTOR] >= ROUNDS + 1, `${stopped.counts[VECTOR]} interrupts`);
      t.match(closed, { closed: true, length: 0 });
      await vm.check(`ivshmem unbind ${doorbell}`);
    });

  await t.test('ivshmem-plain has memory and nothing else', async (t) => {
    await vm.check(`ivshmem bind --driver vfio-pci --user app ${plain}`);
    const { child, ready } = await start(vm, answer('auto', plain!));
    t.match(ready, { kind: 'vfio', vectors: 0, ivPosition: 0, bytes: PLAIN_BYTES });
    child.kill();
    await child.wait();
    await vm.check(`ivshmem unbind ${plain}`);
  });

  await t.test('unplug under vfio: the driver is asked, gives the device back, and lives', async (t) => {
    const address = await plug(vm, fleet.socket);
    await vm.check(`ivshmem bind --driver vfio-pci --user app ${address}`);
    asker.words[9] = 77;
    const { child, ready } = await start(vm, answer('vfio', address));
    await asker.ask(ready.ivPosition, 10);
    const word = asker.words[0];
    await unplug(vm);
    const { status, stdout, stderr } = await child.wait();
    t.equal(status, 0, stderr);
    const removed = JSON.parse(stdout.trim().split('\n').at(-2)!);
    t.match(removed, { removed: true, kept: 5, zero: 0 }, 'loads and stores go to pages of its own');
    t.equal(asker.words[0], word, 'the region did not see the store');
    t.match(lastJson(stdout), { closed: true, length: 0 });
  });

  await vm.powerOff();
});
