import type { Backend } from '../../../src/backend/backend.ts';
import { binding } from '../../../src/native/binding.ts';
import type { QemuPeer } from './qemu-peer.ts';
import { until } from './until.ts';

/** A doorbell from a QEMU to a host process and back, on every vector. Throws when one does not arrive. */
export async function exchangeWithHost(qemu: QemuPeer, host: Backend, vectors = 2): Promise<void> {
  const device = await qemu.device();
  const id = await device.ivPosition();
  for (let vector = 0; vector < vectors; vector++) {
    const eventfd = host.interrupts[vector]!;
    binding.eventfdDrain(eventfd);
    // QEMU takes its eventfds in the background; until then a doorbell is lost, so it is rung until it is heard.
    await until(`peer ${id} rings vector ${vector} of the host`, async () => {
      await device.ring(host.ivPosition, vector);
      return binding.eventfdDrain(eventfd) > 0;
    });
    await device.takeInterrupt(vector);
    await until(`the host rings vector ${vector} of peer ${id}`, () => {
      host.ring(id, vector);
      return device.takeInterrupt(vector);
    });
  }
}

/** Doorbells both ways between two QEMUs. */
export async function exchange(a: QemuPeer, b: QemuPeer, vectors = 2): Promise<void> {
  for (const [from, to] of [
    [await a.device(), await b.device()],
    [await b.device(), await a.device()],
  ] as const) {
    const id = await to.ivPosition();
    for (let vector = 0; vector < vectors; vector++) {
      await to.takeInterrupt(vector);
      await until(`a QEMU rings vector ${vector} of peer ${id}`, async () => {
        await from.ring(id, vector);
        return to.takeInterrupt(vector);
      });
    }
  }
}

/** Every survivor answers QMP and exchanges doorbells with the next one and with the host. */
export async function survivorsAreWell(survivors: readonly QemuPeer[], host: Backend): Promise<void> {
  for (const [i, survivor] of survivors.entries()) {
    if (!(await survivor.alive())) throw new Error(`QEMU ${i} is not well`);
    await exchangeWithHost(survivor, host);
    const next = survivors[i + 1];
    if (next !== undefined) await exchange(survivor, next);
  }
}
