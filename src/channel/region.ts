import { IvshmemError } from '../errors/index.ts';
import { type RegionHeader, readHeader } from '../memory/header.ts';
import {
  CLOSED_CONNECTOR,
  CLOSED_DIED,
  CLOSED_LISTENER,
  CONTROL_BIT,
  EVENT_ENTRIES,
  MEMBER_W,
  NAME_BYTES,
  PAGE_BYTES,
  SERVER_SLOT,
  SERVICE_BYTES,
} from '../memory/layout.ts';
import { collect, post } from '../memory/pending.ts';
import { binding, type LoopWaiter } from '../native/binding.ts';
import { buildChannel } from './build.ts';
import type { Channel } from './channel.ts';
import { checkName, checkShape } from './checks.ts';
import { ControlClient } from './control.ts';
import { Listener } from './listener.ts';
import { type ChannelRecord, examineRecord, readRecord } from './record.ts';
import { RingAgain } from './ring-again.ts';
import { adaptive, type WaitStrategy } from './wait.ts';

/** What a region needs of the device under it; IvshmemDevice is one. */
export interface RegionDevice {
  readonly on: string;
  readonly ivPosition: number;
  readonly memory: ArrayBuffer;
  /** Interrupt vectors; 0 when the device must be polled. */
  readonly vectors: number;
  takeVector(vector: number): number;
  ring(peer: number, vector: number): void;
  onRemoved(callback: () => void): void;
  close(): void;
}

export interface RegionOptions {
  /** This member's name, unique in the region. */
  readonly name: string;
  /** How to wait; `adaptive` unless said otherwise. */
  readonly wait?: WaitStrategy;
  /** The largest message put together from parts, bytes. Default 64 MiB. */
  readonly maxMessageBytes?: number;
}

export interface ConnectOptions {
  /** Name of the member to connect to; any listener of the service without it. */
  readonly peer?: string;
  /** Descriptors per direction, a power of two. Default 256. */
  readonly queueSize?: number;
  /** Data area per direction in bytes, a multiple of 4096. Default 256 KiB. */
  readonly dataBytes?: number;
}

const POLL_MS = 1;
const NOTIFY_VECTOR = 0;

/** One member's view of a region: its names, its channels, and the one place where it waits. */
export class Region {
  readonly header: RegionHeader;
  readonly name: string;
  /** This member's slot: its peer ID on the device. */
  readonly slot: number;
  readonly #device: RegionDevice;
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #waiter: LoopWaiter;
  readonly #control: ControlClient;
  readonly #ringAgain: RingAgain;
  readonly #maxMessageBytes: number;
  readonly #channels = new Map<number, { channel: Channel; record: ChannelRecord }>();
  readonly #listeners = new Map<number, Listener>();
  readonly #visit = (index: number): void => this.#serve(index);
  /** LISTEN requests under way, and channels that may be for them: the event can overtake the reply. */
  #listening = 0;
  readonly #unclaimed: number[] = [];
  #eventsSeen = 0;
  #waiters = 0;
  #faults: unknown[] = [];
  #state: 'open' | 'closing' | 'closed' = 'open';
  #removedListeners: (() => void)[] = [];

  private constructor(device: RegionDevice, options: RegionOptions) {
    this.header = readHeader(device.memory, device.memory.byteLength);
    this.#device = device;
    this.name = options.name;
    this.slot = device.ivPosition;
    this.#maxMessageBytes = options.maxMessageBytes ?? 64 << 20;
    if (this.slot <= SERVER_SLOT || this.slot >= this.header.slots) {
      const why = `peer ID ${this.slot} has no slot in a region of ${this.header.slots}`;
      throw new IvshmemError('ERR_IVSHMEM_REFUSED', {
        operation: 'join',
        on: device.on,
        why,
        hint: 'Use the ivshmem server of this package.',
      });
    }
    this.#words = new Int32Array(device.memory, 0, (this.header.heapPage * PAGE_BYTES) / 4);
    this.#base = this.#memberBase(this.slot);
    this.#ringAgain = new RingAgain(
      this.#words,
      (slot) => this.#memberBase(slot),
      (slot) => this.#ring(slot),
    );
    this.#waiter = this.#createWaiter(options.wait ?? adaptive);
    const notifyServer = (): void => this.#notify(SERVER_SLOT, this.slot);
    this.#control = new ControlClient(this.#words, this.#base, device.on, notifyServer, (change) =>
      this.#wait(change),
    );
    // A channel's end must be heard of even while nobody waits for messages; unref'ed, this keeps nothing alive.
    if (device.vectors > 0) this.#waiter.start();
    device.onRemoved(() => this.#removed());
  }

  /** Joins the region behind a device, which it owns from now on. */
  static async join(device: RegionDevice, options: RegionOptions): Promise<Region> {
    checkName(options.name, 'member', NAME_BYTES);
    let region: Region | null = null;
    try {
      region = new Region(device, options);
      await region.#control.hello(options.name);
      region.#eventsSeen = Atomics.load(region.#words, region.#base + MEMBER_W.eventCount);
      return region;
    } catch (error) {
      if (region !== null) region.#shut();
      else device.close();
      throw error;
    }
  }

  /** The device under this region: its doorbell vectors from 1 on are free for direct use. */
  get device(): RegionDevice {
    return this.#device;
  }

  /** Accepts channels for a service name. */
  async listen(service: string): Promise<Listener> {
    this.#check('listen');
    checkName(service, 'service', SERVICE_BYTES);
    this.#listening++;
    const id = await this.#control.listen(service).finally(() => this.#listening--);
    const unlisten = (): void => {
      this.#listeners.delete(id);
      if (this.#state === 'open') this.#background(this.#control.unlisten(id));
    };
    const listener = new Listener(service, id, (change) => this.#wait(change), unlisten);
    this.#listeners.set(id, listener);
    for (const number of this.#unclaimed.splice(0)) this.#lookAt(number);
    return listener;
  }

  /** Makes a channel to a member that listens to `service`. Rejects with ERR_IVSHMEM_REFUSED when nobody does. */
  async connect(service: string, options: ConnectOptions = {}): Promise<Channel> {
    this.#check('connect');
    checkName(service, 'service', SERVICE_BYTES);
    if (options.peer !== undefined) checkName(options.peer, 'member', NAME_BYTES);
    const { queueSize = 256, dataBytes = 256 << 10 } = options;
    checkShape(queueSize, dataBytes);
    const { channel: number, generation } = await this.#control.connect(
      service,
      options.peer ?? '',
      queueSize,
      dataBytes,
    );
    const record = readRecord(this.#words, this.header, number);
    if (record === null || record.generation !== generation || record.connector !== this.slot) {
      throw new IvshmemError('ERR_IVSHMEM_CHANNEL_TABLE', {
        on: number,
        why: 'it is not the channel the server made for us',
      });
    }
    const channel = this.#add(record, service, 'connector');
    this.#look(record);
    return channel;
  }

  /** [spins that found work, sleeps, bells, spurious bells] of this region's waiter. */
  waitStatistics(): number[] {
    return this.#waiter.statistics();
  }

  /** Calls back once when the device is unplugged; every channel has ended by then. */
  onRemoved(callback: () => void): void {
    this.#removedListeners.push(callback);
  }

  /** Leaves: closes listeners and channels, tells the server, releases the device. Idempotent. */
  async close(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    for (const listener of [...this.#listeners.values()]) listener.close();
    for (const { channel } of [...this.#channels.values()]) channel.close();
    try {
      await this.#control.goodbye();
    } finally {
      this.#shut();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #memberBase(slot: number): number {
    return ((this.header.memberPage + slot) * PAGE_BYTES) / 4;
  }

  #createWaiter(wait: WaitStrategy): LoopWaiter {
    const at = this.#base * 4;
    const { memory } = this.#device;
    return new binding.LoopWaiter({
      words: new Int32Array(memory, at + MEMBER_W.summary * 4, 16),
      armed: new Int32Array(memory, at + MEMBER_W.armed * 4, 1),
      eventfd: this.#device.vectors > 0 ? this.#device.takeVector(NOTIFY_VECTOR) : -1,
      spinNs: wait.spinNs,
      pollMs: POLL_MS,
      onWork: () => this.#poll(),
    });
  }

  /** Serves every mark; the exceptions of handlers leave only after everyone was served. */
  #poll(): void {
    if (this.#state === 'closed') return;
    collect(this.#words, this.#base, this.#visit);
    if (this.#faults.length > 0) {
      const [first] = this.#faults;
      this.#faults = [];
      throw first;
    }
  }

  #serve(index: number): void {
    try {
      if (index === CONTROL_BIT) this.#serveControl();
      else this.#channels.get(index)?.channel.signal();
    } catch (error) {
      this.#faults.push(error);
    }
  }

  #serveControl(): void {
    this.#control.collectReply();
    // Acquire: pairs with the server's release of eventCount.
    const count = Atomics.load(this.#words, this.#base + MEMBER_W.eventCount);
    const fresh = (count - this.#eventsSeen) >>> 0;
    const first = this.#eventsSeen;
    this.#eventsSeen = count;
    if (fresh > EVENT_ENTRIES) {
      // The ring of events went over its end: look at the whole table instead.
      for (let number = 1; number < this.header.channels; number++) this.#lookAt(number);
      return;
    }
    for (let i = 0; i < fresh; i++) {
      const entry = ((first + i) >>> 0) % EVENT_ENTRIES;
      this.#lookAt(this.#words[this.#base + MEMBER_W.events + entry]!);
    }
  }

  #lookAt(number: number): void {
    if (number < 1 || number >= this.header.channels) return;
    const record = examineRecord(this.#words, this.header, number);
    const known = this.#channels.get(number);
    if (record instanceof IvshmemError) {
      // Whoever wrote over the entry ends that channel, never the process; an entry not ours is nobody's loss.
      known?.channel.broke(record);
      return;
    }
    if (known && known.record.generation !== record?.generation) {
      known.channel.peerGone('died');
      this.#channels.delete(number);
    }
    if (record !== null) this.#look(record);
  }

  /** Brings our view of one channel in line with its record. */
  #look(record: ChannelRecord): void {
    const known = this.#channels.get(record.number);
    if (known) {
      const gone = record.connector === this.slot ? CLOSED_LISTENER : CLOSED_CONNECTOR;
      if (record.closed & gone) known.channel.peerGone(record.closed & CLOSED_DIED ? 'died' : 'closed');
      return;
    }
    if (record.listener !== this.slot || record.closed & CLOSED_LISTENER) return;
    const listener = this.#listeners.get(record.listenerId);
    if (listener === undefined && this.#listening > 0) this.#unclaimed.push(record.number);
    else if (listener === undefined) this.#background(this.#control.close(record.number, record.generation));
    else {
      listener.deliver(this.#add(record, listener.service, 'listener'));
      // It may be closed by the connector already; it still carries what was sent.
      this.#look(record);
    }
  }

  #add(record: ChannelRecord, service: string, side: 'connector' | 'listener'): Channel {
    const { number, generation } = record;
    const peer = side === 'connector' ? record.listener : record.connector;
    const channel = buildChannel(this.#device.memory, record, side, service, this.#maxMessageBytes, {
      notifyPeer: () => this.#notify(peer, number),
      postSelf: () => void post(this.#words, this.#base, number),
      poll: () => {
        // The peer we poll for may need this processor.
        binding.yieldProcessor();
        this.#poll();
      },
      waiting: (change) => this.#wait(change),
      release: () => {
        if (this.#channels.get(number)?.record.generation === generation) this.#channels.delete(number);
        if (this.#state === 'open') this.#background(this.#control.close(number, generation));
      },
    });
    this.#channels.set(number, { channel, record });
    return channel;
  }

  #notify(slot: number, index: number): void {
    if (this.#state === 'closed') return;
    if (slot >= this.header.slots) return;
    if (post(this.#words, this.#memberBase(slot), index)) {
      this.#ring(slot);
      this.#ringAgain.remember(slot, index);
    }
  }

  #ring(slot: number): void {
    if (this.#state !== 'closed') this.#device.ring(slot, NOTIFY_VECTOR);
  }

  /** Whoever waits keeps the process alive. */
  #wait(change: 1 | -1): void {
    const before = this.#waiters > 0;
    this.#waiters += change;
    const now = this.#waiters > 0;
    if (this.#state === 'closed' || now === before) return;
    if (now) this.#waiter.ref();
    else this.#waiter.unref();
    if (this.#device.vectors > 0) return;
    // Without interrupts waiting means polling, which only happens while somebody waits.
    if (now) this.#waiter.start();
    else this.#waiter.stop();
  }

  /** A request whose answer nobody waits for: its failure means the server is gone, which ends every channel. */
  #background(request: Promise<void>): void {
    request.catch((error: unknown) => {
      if (
        this.#state === 'open' &&
        !(error instanceof IvshmemError && error.code === 'ERR_IVSHMEM_REFUSED')
      ) {
        process.emitWarning(error as Error);
      }
    });
  }

  #removed(): void {
    const error = new IvshmemError('ERR_IVSHMEM_DEVICE_REMOVED', { on: this.#device.on });
    this.#control.abandon(error);
    for (const { channel } of [...this.#channels.values()]) channel.peerGone('died');
    for (const callback of this.#removedListeners.splice(0)) callback();
    this.#shut();
  }

  #shut(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#ringAgain.close();
    this.#waiter.close();
    for (const listener of [...this.#listeners.values()]) listener.close();
    for (const { channel } of [...this.#channels.values()]) channel.close();
    this.#device.close();
  }

  #check(operation: string): void {
    if (this.#state !== 'open')
      throw new IvshmemError('ERR_IVSHMEM_CLOSED', { operation, on: `the region ${this.#device.on}` });
  }
}
