import type { Mapping } from '../native/binding.ts';
import type { Backend, Life } from './backend.ts';
import { type GuardedBars, Guardian } from './guardian.ts';
import { doorbellValue, fence } from './registers.ts';

/** What the backends of a PCI device have in common: its doorbell, its removal, its guardian, its end. */
export abstract class PciBackend implements Backend {
  abstract readonly kind: 'vfio' | 'uio';
  abstract readonly ivPosition: number;
  abstract readonly memory: Mapping;
  abstract readonly interrupts: readonly number[];
  readonly on: string;
  readonly #guardian: Guardian;
  readonly #removing: (() => void)[] = [];
  readonly #removed: (() => void)[] = [];
  #state: 'open' | 'removed' | 'closed' = 'open';

  constructor(on: string) {
    this.on = on;
    this.#guardian = new Guardian(on, () => this.bars());
  }

  ring(peer: number, vector: number): void {
    if (this.#state !== 'open') return;
    fence();
    this.writeDoorbell(doorbellValue(peer, vector));
  }

  guard(life: Life): void {
    if (this.#state === 'open') this.#guardian.guard(life);
  }

  onRemoving(callback: () => void): void {
    this.#removing.push(callback);
  }

  onRemoved(callback: () => void): void {
    this.#removed.push(callback);
  }

  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#guardian.end();
    this.release();
  }

  /** One aligned 32-bit store to the Doorbell register. */
  protected abstract writeDoorbell(value: number): void;
  /** For the guardian. */
  protected abstract bars(): GuardedBars;
  /** Puts zero pages over the BARs and gives the device back. Eventfds stay, for somebody may be polling them. */
  protected abstract revoke(): void;
  /** Detaches and unmaps the BARs, closes everything. After revoke() or without it. */
  protected abstract release(): void;

  /**
   * The device goes away. The guardian goes before it, for it holds the device too. The device is the kernel's again before the
   * removal is told: a callback that throws cannot hold it up.
   * @param reachable whether the memory and the doorbell still work, for last words
   */
  protected remove(reachable: boolean): void {
    if (this.#state !== 'open') return;
    try {
      if (reachable) for (const callback of this.#removing.splice(0)) callback();
    } finally {
      this.#state = 'removed';
      this.#guardian.end();
      this.revoke();
      for (const callback of this.#removed.splice(0)) callback();
    }
  }
}
