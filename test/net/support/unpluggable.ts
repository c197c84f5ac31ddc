import type { Backend, BackendKind, DoorbellPlace, MemoryFile, Part } from '../../../src/backend/backend.ts';
import { openHost } from '../../../src/backend/host.ts';
import { Region, type RegionOptions } from '../../../src/index.ts';
import { IvshmemDevice } from '../../../src/ivshmem/index.ts';
import type { Mapping } from '../../../src/native/binding.ts';

/** A peer over the server's socket that goes as a device of a VM does: last words, zero pages, the end of the socket. */
class Unpluggable implements Backend {
  readonly #inner: Backend;
  readonly #parts: Part[] = [];
  readonly #removing: (() => void)[] = [];
  readonly #removed: (() => void)[] = [];
  #gone = false;

  constructor(inner: Backend) {
    this.#inner = inner;
  }

  get kind(): BackendKind {
    return this.#inner.kind;
  }

  get on(): string {
    return this.#inner.on;
  }

  get ivPosition(): number {
    return this.#inner.ivPosition;
  }

  get memory(): Mapping {
    return this.#inner.memory;
  }

  get interrupts(): readonly number[] {
    return this.#inner.interrupts;
  }

  mapPart(offset: number, bytes: number): Mapping {
    const part = this.#inner.mapPart(offset, bytes);
    this.#parts.push(part);
    return part;
  }

  mapWith(make: (file: MemoryFile) => Part): () => void {
    return this.#inner.mapWith((file) => {
      const part = make(file);
      this.#parts.push(part);
      return part;
    });
  }

  ring(peer: number, vector: number): void {
    if (!this.#gone) this.#inner.ring(peer, vector);
  }

  doorbell(peer: number, vector: number): DoorbellPlace | null {
    return this.#gone ? null : this.#inner.doorbell(peer, vector);
  }

  onRemoving(callback: () => void): void {
    this.#removing.push(callback);
  }

  onRemoved(callback: () => void): void {
    this.#removed.push(callback);
  }

  unplug(): void {
    for (const callback of this.#removing.splice(0)) callback();
    this.#gone = true;
    this.memory.revoke();
    for (const part of this.#parts) part.revoke();
    for (const callback of this.#removed.splice(0)) callback();
  }

  close(): void {
    this.#inner.close();
  }
}

/** A member whose device can be unplugged. */
export interface UnpluggableMember {
  readonly region: Region;
  unplug(): void;
}

export async function joinUnpluggable(socket: string, options: RegionOptions): Promise<UnpluggableMember> {
  const backend = new Unpluggable(await openHost(socket));
  return {
    region: await Region.join(new IvshmemDevice(backend), options),
    unplug: () => backend.unplug(),
  };
}
