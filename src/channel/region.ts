import { IvshmemError } from '../errors/index.ts';
import { Attachment, type RegionDevice, type WaitStrategy } from '../membership/index.ts';
import type { RegionHeader } from '../memory/header.ts';
import {
  CLOSED_CONNECTOR,
  CLOSED_DIED,
  CLOSED_LISTENER,
  EVENT_ENTRIES,
  MEMBER_W,
  NAME_BYTES,
  SERVICE_BYTES,
} from '../memory/layout.ts';
import { binding } from '../native/binding.ts';
import { buildChannel } from './build.ts';
import type { Channel } from './channel.ts';
import { checkName, checkShape } from './checks.ts';
import { Listener } from './listener.ts';
import { type ChannelRecord, examineRecord, readRecord } from './record.ts';

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

/** One member's view of a region: its names, its channels, and the one place where it waits. */
export class Region {
  readonly header: RegionHeader;
  readonly name: string;
  /** This member's slot: its peer ID on the device. */
  readonly slot: number;
  readonly #attachment: Attachment;
  readonly #maxMessageBytes: number;
  readonly #channels = new Map<number, { channel: Channel; record: ChannelRecord }>();
  readonly #listeners = new Map<number, Listener>();
  /** LISTEN requests under way, and channels that may be for them: the event can overtake the reply. */
  #listening = 0;
  readonly #unclaimed: number[] = [];
  #eventsSeen = 0;

  private constructor(device: RegionDevice, options: RegionOptions) {
    const attachment = new Attachment(device, options, {
      channel: (number) => this.#channels.get(number)?.channel.signal(),
      control: () => this.#serveEvents(),
    });
    this.#attachment = attachment;
    this.header = attachment.header;
    this.name = attachment.name;
    this.slot = attachment.slot;
    this.#maxMessageBytes = options.maxMessageBytes ?? 64 << 20;
    attachment.onRemoved(() => {
      for (const { channel } of [...this.#channels.values()]) channel.peerGone('died');
    });
    attachment.onShut(() => this.#closeAll());
  }

  /** Joins the region behind a device, which it owns from now on. */
  static async join(device: RegionDevice, options: RegionOptions): Promise<Region> {
    Attachment.checkName(options.name);
    let region: Region | null = null;
    try {
      region = new Region(device, options);
      const attachment = region.#attachment;
      await attachment.hello();
      region.#eventsSeen = Atomics.load(attachment.words, attachment.base + MEMBER_W.eventCount);
      return region;
    } catch (error) {
      if (region !== null) region.#attachment.shut();
      else device.close();
      throw error;
    }
  }

  /** The device under this region: its doorbell vectors from 1 on are free for direct use. */
  get device(): RegionDevice {
    return this.#attachment.device;
  }

  /** Accepts channels for a service name. */
  async listen(service: string): Promise<Listener> {
    this.#attachment.check('listen');
    checkName(service, 'service', SERVICE_BYTES);
    this.#listening++;
    const id = await this.#attachment.control.listen(service).finally(() => this.#listening--);
    const unlisten = (): void => {
      this.#listeners.delete(id);
      if (this.#attachment.state === 'open')
        this.#attachment.background(this.#attachment.control.unlisten(id));
    };
    const listener = new Listener(service, id, (change) => this.#attachment.wait(change), unlisten);
    this.#listeners.set(id, listener);
    for (const number of this.#unclaimed.splice(0)) this.#lookAt(number);
    return listener;
  }

  /** Makes a channel to a member that listens to `service`. Rejects with ERR_IVSHMEM_REFUSED when nobody does. */
  async connect(service: string, options: ConnectOptions = {}): Promise<Channel> {
    this.#attachment.check('connect');
    checkName(service, 'service', SERVICE_BYTES);
    if (options.peer !== undefined) checkName(options.peer, 'member', NAME_BYTES);
    const { queueSize = 256, dataBytes = 256 << 10 } = options;
    checkShape(queueSize, dataBytes);
    const { channel: number, generation } = await this.#attachment.control.connect(
      service,
      options.peer ?? '',
      queueSize,
      dataBytes,
    );
    const record = readRecord(this.#attachment.words, this.header, number);
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
    return this.#attachment.waitStatistics();
  }

  /** Calls back once when the device is unplugged; every channel has ended by then. */
  onRemoved(callback: () => void): void {
    this.#attachment.onRemoved(() => callback());
  }

  /** Leaves: closes listeners and channels, tells the server, releases the device. Idempotent. */
  async close(): Promise<void> {
    if (!this.#attachment.leaving()) return;
    this.#closeAll();
    await this.#attachment.goodbye();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #closeAll(): void {
    for (const listener of [...this.#listeners.values()]) listener.close();
    for (const { channel } of [...this.#channels.values()]) channel.close();
  }

  #serveEvents(): void {
    const { words, base } = this.#attachment;
    // Acquire: pairs with the server's release of eventCount.
    const count = Atomics.load(words, base + MEMBER_W.eventCount);
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
      this.#lookAt(words[base + MEMBER_W.events + entry]!);
    }
  }

  #lookAt(number: number): void {
    if (number < 1 || number >= this.header.channels) return;
    const record = examineRecord(this.#attachment.words, this.header, number);
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
    else if (listener === undefined)
      this.#attachment.background(this.#attachment.control.close(record.number, record.generation));
    else {
      listener.deliver(this.#add(record, listener.service, 'listener'));
      // It may be closed by the connector already; it still carries what was sent.
      this.#look(record);
    }
  }

  #add(record: ChannelRecord, service: string, side: 'connector' | 'listener'): Channel {
    const { number, generation } = record;
    const peer = side === 'connector' ? record.listener : record.connector;
    const attachment = this.#attachment;
    const channel = buildChannel(attachment.device.memory, record, side, service, this.#maxMessageBytes, {
      notifyPeer: () => attachment.notify(peer, number),
      postSelf: () => attachment.postSelf(number),
      poll: () => {
        // The peer we poll for may need this processor.
        binding.yieldProcessor();
        attachment.poll();
      },
      waiting: (change) => attachment.wait(change),
      release: () => {
        if (this.#channels.get(number)?.record.generation === generation) this.#channels.delete(number);
        if (attachment.state === 'open') attachment.background(attachment.control.close(number, generation));
      },
    });
    this.#channels.set(number, { channel, record });
    return channel;
  }
}
