import { closeSync, readSync } from 'node:fs';
import { IvshmemError, isIvshmemError, whyOf } from '../errors/index.ts';
import { type RegionHeader, readHeader } from '../memory/header.ts';
import { PAGE_BYTES } from '../memory/layout.ts';
import { binding, type FdWatch, type Mapping } from '../native/binding.ts';
import { Parts } from '../native/parts.ts';
import type { Backend, DoorbellPlace, MemoryFile, Part } from './backend.ts';
import { HostHandshake } from './host-handshake.ts';

export interface OpenHostOptions {
  /** Longest wait for the whole handshake, milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;
/** A server whose region has no header of ours does not say how many vectors we get: this long without one more. */
const SETTLE_MS = 50;

/**
 * Becomes a peer of an ivshmem server as a process of the host: the same memory and doorbells as a VM has. Works with any
 * server of QEMU's protocol. Rejects with ERR_IVSHMEM_HOST_CONNECT, _REFUSED, _VERSION, _PROTOCOL, _CLOSED or _TIMEOUT.
 */
export async function openHost(socketPath: string, options: OpenHostOptions = {}): Promise<Backend> {
  const handshake = new HostHandshake(socketPath);
  const link = connect(socketPath, handshake);
  try {
    await link.complete(options.timeoutMs ?? TIMEOUT_MS);
    return new HostBackend(socketPath, link, handshake);
  } catch (error) {
    link.close();
    throw error;
  }
}

function connect(on: string, handshake: HostHandshake): HostLink {
  let socket = -1;
  try {
    socket = binding.socketConnect(on);
    return new HostLink(on, socket, handshake);
  } catch (cause) {
    if (socket >= 0) closeSync(socket);
    const why = (cause as Error).message;
    throw new IvshmemError('ERR_IVSHMEM_HOST_CONNECT', { on, why }, { cause });
  }
}

/** The connection: reads messages as they come, in the handshake and after. */
class HostLink {
  /** The memory up to its heap, where its header says where that is; all of it otherwise. */
  tables: Mapping | null = null;
  #memory: Mapping | null = null;
  readonly #on: string;
  readonly #socket: number;
  readonly #handshake: HostHandshake;
  readonly #watch: FdWatch;
  readonly #parts = new Parts();
  /** The memory: as long as the link, for parts of it are mapped later. */
  #file: { readonly fd: number; readonly bytes: number } | null = null;
  #peeked = false;
  #header: RegionHeader | null = null;
  #settle: NodeJS.Timeout | null = null;
  #done: (() => void) | null = null;
  #failed: ((error: unknown) => void) | null = null;
  #closed = false;

  constructor(on: string, socket: number, handshake: HostHandshake) {
    this.#on = on;
    this.#socket = socket;
    this.#handshake = handshake;
    this.#watch = new binding.FdWatch(socket, () => this.#read());
  }

  /** Resolves when all of our own eventfds are there. From then on the connection does not keep the process alive. */
  async complete(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    this.#watch.ref();
    try {
      await new Promise<void>((resolve, reject) => {
        this.#done = resolve;
        this.#failed = reject;
        const timeout = { on: this.#on, seconds: timeoutMs / 1000 };
        timer = setTimeout(() => reject(new IvshmemError('ERR_IVSHMEM_HOST_TIMEOUT', timeout)), timeoutMs);
        this.#watch.start(true, false);
      });
    } finally {
      clearTimeout(timer);
      this.#stopSettling();
      this.#done = null;
      this.#failed = null;
      this.#watch.unref();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopSettling();
    this.#watch.close();
    this.#parts.close();
    this.tables?.close();
    this.#memory?.close();
    // Never mapped, and from now on as empty.
    this.#memory ??= this.tables;
    if (this.#file !== null) closeSync(this.#file.fd);
    this.#file = null;
    this.#handshake.close();
    closeSync(this.#socket);
  }

  /**
   * The whole memory, mapped when it is asked for: V8 counts 64 MiB as memory that a collection could free and starts one, whose steps
   * would delay a HELLO by milliseconds. Who only joins, watches or waits needs no more than the tables.
   */
  get memory(): Mapping {
    if (this.#memory === null) {
      const { bytes } = this.#file!;
      this.#memory = bytes === this.tables!.byteLength ? this.tables! : this.#map(bytes);
    }
    return this.#memory;
  }

  /** 0 once it is closed. */
  get memoryBytes(): number {
    return this.#file?.bytes ?? 0;
  }

  mapPart(offset: number, bytes: number): Mapping {
    return this.#parts.add(binding.mapFile(this.#file!.fd, offset, bytes, true));
  }

  mapWith(make: (file: MemoryFile) => Part): () => void {
    return this.#parts.adopt(make({ fd: this.#file!.fd, offset: 0 }));
  }

  #read(): void {
    try {
      while (!this.#closed) {
        const message = binding.receiveMessage(this.#socket);
        if (message === null) break;
        if (message === undefined) {
          throw new IvshmemError('ERR_IVSHMEM_HOST_CLOSED', { on: this.#on });
        }
        this.#handshake.take(message);
        if (!this.#peeked && this.#handshake.hasMemory) this.#peek();
      }
      this.#look();
    } catch (error) {
      this.#watch.stop();
      if (this.#failed !== null) this.#failed(error);
      // After the handshake: what was set up keeps working without the server, also where it is gone.
      else if (!isIvshmemError(error, 'ERR_IVSHMEM_HOST_CLOSED')) this.#warn(error as Error);
    }
  }

  #warn(cause: Error): void {
    const params = { on: this.#on, why: whyOf(cause) };
    process.emitWarning(new IvshmemError('ERR_IVSHMEM_HOST_DEAF', params, { cause }));
  }

  /**
   * Reads the header alone. A copy, and not a mapping that is closed again: the first ArrayBuffer that is detached in a process has V8
   * look at every access to any typed array whether its buffer is still there, for ever, which makes tight loops half as slow again.
   */
  #peek(): void {
    this.#peeked = true;
    this.#file = this.#handshake.takeMemoryFd();
    const { fd, bytes } = this.#file;
    if (bytes === 0)
      throw new IvshmemError('ERR_IVSHMEM_HOST_PROTOCOL', { on: this.#on, why: 'its memory has no bytes' });
    const page = new Uint8Array(Math.min(bytes, PAGE_BYTES));
    try {
      readSync(fd, page, 0, page.length, 0);
      this.#header = readHeader(page.buffer, bytes);
    } catch (error) {
      // A file that can only be mapped, or another server's memory: whether that is what the caller wants, it decides when it reads the
      // header itself.
      if (!(error instanceof IvshmemError || (error as NodeJS.ErrnoException).syscall === 'read'))
        throw error;
    }
  }

  #map(length: number): Mapping {
    const { fd, bytes } = this.#file!;
    try {
      return binding.mapFile(fd, 0, length, true);
    } catch (cause) {
      const why = `its memory of ${bytes} bytes cannot be mapped (${(cause as Error).message})`;
      throw new IvshmemError('ERR_IVSHMEM_HOST_PROTOCOL', { on: this.#on, why }, { cause });
    }
  }

  #look(): void {
    const own = this.#handshake.ownVectors;
    this.#stopSettling();
    if (this.#done === null || own === 0) return;
    if (this.#header !== null) {
      if (own >= this.#header.vectors) this.#finish();
      return;
    }
    this.#settle = setTimeout(() => this.#finish(), SETTLE_MS);
  }

  #finish(): void {
    try {
      const heap = this.#header?.heapPage;
      this.tables = this.#map(heap === undefined ? this.#file!.bytes : heap * PAGE_BYTES);
      this.#done?.();
    } catch (error) {
      this.#failed?.(error);
    }
  }

  #stopSettling(): void {
    if (this.#settle !== null) clearTimeout(this.#settle);
    this.#settle = null;
  }
}

/** A process as a peer: interrupts are its own eventfds, a doorbell is a write to the peer's. */
class HostBackend implements Backend {
  readonly kind = 'host';
  readonly on: string;
  readonly ivPosition: number;
  readonly interrupts: readonly number[];
  readonly #link: HostLink;
  readonly #handshake: HostHandshake;

  constructor(on: string, link: HostLink, handshake: HostHandshake) {
    this.on = on;
    this.ivPosition = handshake.ivPosition;
    this.interrupts = [...handshake.peers.of(handshake.ivPosition)];
    this.#link = link;
    this.#handshake = handshake;
  }

  get memory(): Mapping {
    return this.#link.memory;
  }

  get tables(): Mapping {
    return this.#link.tables!;
  }

  get memoryBytes(): number {
    return this.#link.memoryBytes;
  }

  mapPart(offset: number, bytes: number): Mapping {
    return this.#link.mapPart(offset, bytes);
  }

  mapWith(make: (file: MemoryFile) => Part): () => void {
    return this.#link.mapWith(make);
  }

  ring(peer: number, vector: number): void {
    const eventfd = this.#handshake.peers.eventfd(peer, vector);
    if (eventfd !== undefined) binding.eventfdSignal(eventfd);
  }

  doorbell(peer: number, vector: number): DoorbellPlace | null {
    const eventfd = this.#handshake.peers.eventfd(peer, vector);
    return eventfd === undefined ? null : { eventfd };
  }

  onDoorbell(callback: (peer: number) => void): () => void {
    return this.#handshake.peers.onChange(callback);
  }

  /** A host process has no device that could be unplugged. */
  onRemoving(): void {}

  onRemoved(): void {}

  close(): void {
    this.#link.close();
  }
}
