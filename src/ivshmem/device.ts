import type { Backend, BackendKind, DoorbellPlace, Life, MemoryFile, Part } from '../backend/backend.ts';
import { forEveryone } from '../errors/for-everyone.ts';
import { IvshmemError } from '../errors/index.ts';
import { binding, type Mapping } from '../native/binding.ts';
import { type InterruptCallback, Interrupts, type InterruptThreadClass } from './interrupts.ts';

const MAX_PEER = 0xffff;
/** QEMU looks at 8 bits of a Doorbell's vector (ivshmem_io_write). */
const MAX_VECTOR = 0xff;

/**
 * An ivshmem device: a place in shared memory, an ID among the peers, a doorbell (ivshmem spec). The same for a guest (vfio,
 * uio) and for a host process that is a peer over the server's socket (host).
 */
export class IvshmemDevice {
  readonly #backend: Backend;
  readonly #interrupts: Interrupts;
  readonly #removedCallbacks: (() => void)[] = [];
  #removed = false;
  #closed = false;

  /** Takes ownership of the backend. openDevice finds one. */
  constructor(backend: Backend, thread: InterruptThreadClass = binding.InterruptThread) {
    this.#backend = backend;
    this.#interrupts = new Interrupts(backend.on, backend.interrupts, thread);
    backend.onRemoved(() => {
      this.#removed = true;
      forEveryone(this.#removedCallbacks.splice(0), (callback) => callback());
    });
  }

  get kind(): BackendKind {
    return this.#backend.kind;
  }

  /** PCI address or socket path, for messages. */
  get on(): string {
    return this.#backend.on;
  }

  /** This peer's ID; 0 as well on a device without interrupts (ivshmem-plain). */
  get ivPosition(): number {
    return this.#backend.ivPosition;
  }

  /**
   * BAR2, the shared memory. Detached (length 0) after close(); zeros after a removal. Peers write to it at any time: copy, check
   * the copy, use the copy.
   */
  get memory(): ArrayBuffer {
    this.#check('use the shared memory');
    return this.#backend.memory.buffer;
  }

  /** The tables at the start of a region: `memory`, or as much of it as goes to its heap and is mapped by itself. */
  get tables(): ArrayBuffer {
    this.#check('use the shared memory');
    return (this.#backend.tables ?? this.#backend.memory).buffer;
  }

  /** Size of `memory`, bytes. */
  get memoryBytes(): number {
    this.#check('use the shared memory');
    return this.#backend.memoryBytes ?? this.#backend.memory.byteLength;
  }

  /**
   * Maps a part of the shared memory by itself: `bytes` from `offset`, which is on a page of 4096. The caller closes it; a removal
   * revokes it, and close() detaches it like `memory`. Fails as the kernel's mmap does.
   */
  mapPart(offset: number, bytes: number): Mapping {
    this.#check('map a part of the shared memory');
    if (this.#removed) throw new IvshmemError('ERR_IVSHMEM_DEVICE_REMOVED', { on: this.#backend.on });
    return this.#backend.mapPart(offset, bytes);
  }

  /** For who maps the shared memory by itself, with a life like that of mapPart's (Backend.mapWith). */
  mapWith(make: (file: MemoryFile) => Part): () => void {
    this.#check('map a part of the shared memory');
    if (this.#removed) throw new IvshmemError('ERR_IVSHMEM_DEVICE_REMOVED', { on: this.#backend.on });
    return this.#backend.mapWith(make);
  }

  /** Interrupt vectors of this device; 0 when it must be polled (uio, ivshmem-plain). */
  get vectors(): number {
    return this.#backend.interrupts.length;
  }

  /** Whether the device was unplugged or reset. Then ring() goes nowhere and memory reads as zeros. */
  get removed(): boolean {
    return this.#removed;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Rings a vector of a peer, after a full fence: what was stored before is visible to whom it wakes. An absent peer or
   * vector is ignored, as the device ignores it. Rings coalesce. ERR_IVSHMEM_PEER for numbers no peer can have.
   */
  ring(peer: number, vector: number): void {
    this.#check('ring a doorbell');
    if (!(peer >= 0 && peer <= MAX_PEER && vector >= 0 && vector <= MAX_VECTOR))
      throw new IvshmemError('ERR_IVSHMEM_PEER', { peer, vector });
    this.#backend.ring(peer, vector);
  }

  /** What a native thread needs to ring that doorbell by itself, while the peer is there; null when there is none. */
  doorbell(peer: number, vector: number): DoorbellPlace | null {
    this.#check('describe a doorbell');
    return this.#backend.doorbell(peer, vector);
  }

  /** Calls back with a peer whose doorbell() is another, or none, from now on. Returns how to stop. */
  onDoorbell(callback: (peer: number) => void): () => void {
    this.#check('describe doorbells');
    return this.#backend.onDoorbell?.(callback) ?? (() => {});
  }

  /**
   * Calls back for interrupts of a vector, with how many doorbells were seen since the last call (at least 1; coalesced rings
   * count once). A native thread waits for them; it does not keep the process alive. One spurious call is possible
   * right after opening. Returns a function that takes the callback off.
   */
  onInterrupt(vector: number, callback: InterruptCallback): () => void {
    this.#check('wait for interrupts');
    return this.#interrupts.on(vector, callback);
  }

  /** Hands a vector's eventfd to the caller, to poll as it likes until close(): onInterrupt will refuse it from now on. */
  takeVector(vector: number): number {
    this.#check('take a vector');
    return this.#interrupts.take(vector);
  }

  /** Interrupts per vector since opening, as the native thread counted them; 0 for vectors it does not own. */
  interruptCounts(): number[] {
    return this.#interrupts.counts();
  }

  /** Wake-ups of the native thread that carried no interrupt. */
  spuriousWakeups(): number {
    return this.#interrupts.spurious();
  }

  /** While on, an interrupt that may come keeps the process alive (only for vectors with a callback). Off at first. */
  keepAlive(on: boolean): void {
    this.#interrupts.keepAlive(on);
  }

  /**
   * Guards a life of a member from now on: when this process dies without close(), somebody else writes its obituary and rings
   * the server. Nothing where the server sees the death by itself (host). A guardian that cannot be had is a warning
   * (ERR_IVSHMEM_GUARDIAN), for the member lives well without it.
   */
  guard(life: Life): void {
    this.#check('guard a life');
    this.#backend.guard?.(life);
  }

  /**
   * Whether the device does not answer any more. To be asked when memory reads as all ones, as it does while the device is being
   * reset; then this life of it has ended, and onRemoved follows.
   */
  lost(): boolean {
    return this.#removed || (this.#backend.lost?.() ?? false);
  }

  /** Calls back once when an unplug was asked for and memory and doorbell still work: for last words. Only with vfio. */
  onRemoving(callback: () => void): void {
    this.#backend.onRemoving(callback);
  }

  /**
   * Calls back once if the device is unplugged or reset; at once, in a microtask, when it is gone already. Memory shows zeros by then and
   * the device is the kernel's again.
   */
  onRemoved(callback: () => void): void {
    if (this.#removed) queueMicrotask(callback);
    else this.#removedCallbacks.push(callback);
  }

  /** Joins the interrupt threads, detaches and unmaps the memory, closes the device. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // The threads poll the backend's eventfds, so they go first.
    this.#interrupts.close();
    this.#backend.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #check(operation: string): void {
    if (this.#closed) throw new IvshmemError('ERR_IVSHMEM_CLOSED', { operation, on: this.#backend.on });
  }
}
