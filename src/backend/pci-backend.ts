import type { Mapping } from '../native/binding.ts';
import type { Backend, DoorbellPlace, Life, MemoryFile, Part } from './backend.ts';
import { type GuardedBars, Guardian } from './guardian.ts';
import { DOORBELL, doorbellValue, fence, IV_POSITION } from './registers.ts';
import { watchReset } from './reset-watch.ts';

/** What a load returns that no device answers. */
const ALL_ONES = 0xffffffff;

/** What the backends of a PCI device have in common: its doorbell, its removal, its reset, its guardian, its end. */
export abstract class PciBackend implements Backend {
  abstract readonly kind: 'vfio' | 'uio';
  abstract readonly ivPosition: number;
  abstract readonly memory: Mapping;
  abstract readonly interrupts: readonly number[];
  abstract mapPart(offset: number, bytes: number): Mapping;
  abstract mapWith(make: (file: MemoryFile) => Part): () => void;
  readonly on: string;
  readonly #guardian: Guardian;
  readonly #removing: (() => void)[] = [];
  readonly #removed: (() => void)[] = [];
  readonly #directory: string;
  #stopWatching = (): void => {};
  #losing: NodeJS.Immediate | undefined;
  #state: 'open' | 'removed' | 'closed' = 'open';

  /** @param directory of the device in sysfs */
  constructor(on: string, directory: string) {
    this.on = on;
    this.#guardian = new Guardian(on, () => this.bars());
    this.#directory = directory;
  }

  ring(peer: number, vector: number): void {
    if (this.#state !== 'open') return;
    fence();
    this.writeDoorbell(doorbellValue(peer, vector));
  }

  doorbell(peer: number, vector: number): DoorbellPlace | null {
    const registers = this.#state === 'open' ? this.mappedRegisters() : null;
    return registers && { registers, offset: DOORBELL, value: doorbellValue(peer, vector) };
  }

  guard(life: Life): void {
    if (this.#state === 'open') this.#guardian.guard(life);
  }

  lost(): boolean {
    if (this.#state !== 'open') return true;
    if (this.readRegister(IV_POSITION) !== ALL_ONES) return false;
    // Not from here: whoever asks is in the middle of something.
    this.#losing ??= setImmediate(() => this.#lose());
    return true;
  }

  onRemoving(callback: () => void): void {
    this.#removing.push(callback);
  }

  onRemoved(callback: () => void): void {
    this.#removed.push(callback);
  }

  close(): void {
    if (this.#state === 'closed') return;
    const before = this.#state;
    this.#state = 'closed';
    if (before === 'open') this.#stop();
    this.#guardian.end();
    this.release();
  }

  /** For the end of a constructor: what fails before leaves no watch behind. */
  protected watch(): void {
    this.#stopWatching = watchReset(this.#directory, () => this.#lose());
  }

  protected abstract readRegister(offset: number): number;
  /** One aligned 32-bit store to the Doorbell register. */
  protected abstract writeDoorbell(value: number): void;
  /** BAR0, if it is mapped. */
  protected abstract mappedRegisters(): ArrayBuffer | null;
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
      this.#guardian.end();
      this.#revoke();
    }
  }

  /**
   * The device was reset, or does not answer. What was stored meanwhile is lost, and doorbells are: nothing that was under way can be
   * trusted, so this life ends here. The guardian tells, for it has the patience to wait until the device answers again.
   */
  #lose(): void {
    if (this.#state !== 'open') return;
    this.#guardian.tell();
    this.#revoke();
  }

  #revoke(): void {
    this.#state = 'removed';
    this.#stop();
    this.revoke();
    for (const callback of this.#removed.splice(0)) callback();
  }

  #stop(): void {
    this.#stopWatching();
    if (this.#losing !== undefined) clearImmediate(this.#losing);
  }
}
