import { IvshmemError } from '../errors/index.ts';
import {
  Attachment,
  forEveryone,
  Holds,
  joinDescription,
  type LeaveReason,
  type Membership,
  type MembershipOptions,
  publish,
  type RegionDevice,
  type Statistics,
  Views,
  type WaitStrategy,
} from '../membership/index.ts';
import type { RegionHeader } from '../memory/header.ts';
import {
  CLOSED_CONNECTOR,
  CLOSED_DIED,
  CLOSED_LISTENER,
  EVENT_ENTRIES,
  MEMBER_W,
  NAME_BYTES,
  SERVICE_BYTES,
  type SocketCounts,
} from '../memory/layout.ts';
import { binding } from '../native/binding.ts';
import { attach } from './attachments.ts';
import { buildChannel } from './build.ts';
import type { Channel } from './channel.ts';
import { checkName, checkShape } from './checks.ts';
import { Listener } from './listener.ts';
import { type ChannelRecord, examineRecord, readRecord } from './record.ts';
import { type Tallied, Tally } from './tally.ts';

export interface RegionOptions {
  /** This member's name, unique in the region. */
  readonly name: string;
  /** How to wait; `adaptive` unless said otherwise. */
  readonly wait?: WaitStrategy;
  /** The largest message put together from parts, bytes. Default 64 MiB. */
  readonly maxMessageBytes?: number;
  /**
   * Where else this member can be reached, for the others to see: texts of 1 to 255 bytes. The IP addresses of this machine's
   * interfaces, loopback left out, unless said otherwise; `[]` for none.
   */
  readonly addresses?: readonly string[];
  /** What else the others shall see of this member, as keys and values; together with addresses at most 928 bytes. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface CloseOptions {
  /** What the others are told: `closed` (default), or `migrated` when this member goes on elsewhere. */
  readonly reason?: Extract<LeaveReason, 'closed' | 'migrated'>;
}

export interface ConnectOptions {
  /** Name of the member to connect to; any listener of the service without it. */
  readonly peer?: string;
  /** Descriptors per direction, a power of two. Default 256. */
  readonly queueSize?: number;
  /** Data area per direction in bytes, a multiple of 4096. Default 256 KiB. */
  readonly dataBytes?: number;
}

interface Known extends Tallied {
  readonly channel: Channel;
}

/** One member's view of a region: its names, its channels, and the one place where it waits. */
export class Region {
  readonly header: RegionHeader;
  readonly name: string;
  /** This member's slot: its peer ID on the device. */
  readonly slot: number;
  readonly #attachment: Attachment;
  readonly #views: Views;
  readonly #tally = new Tally();
  readonly #maxMessageBytes: number;
  readonly #channels = new Map<number, Known>();
  readonly #listeners = new Map<number, Listener>();
  /** LISTEN requests under way, and channels that may be for them: the event can overtake the reply. */
  #listening = 0;
  readonly #unclaimed: number[] = [];
  #eventsSeen = 0;
  #left: Promise<void> = Promise.resolve();

  private constructor(device: RegionDevice, options: RegionOptions) {
    const attachment: Attachment = new Attachment(device, options, {
      channel: (number) => this.#channels.get(number)?.channel.signal(),
      control: () => forEveryone([() => this.#serveEvents(), () => this.#views.serve()], (serve) => serve()),
      traffic: () => this.#tally.all(attachment.device.memory, this.#channels.values()),
    });
    this.#attachment = attachment;
    attach(this, attachment);
    this.#views = new Views(attachment);
    this.header = attachment.header;
    this.name = attachment.name;
    this.slot = attachment.slot;
    this.#maxMessageBytes = options.maxMessageBytes ?? 64 << 20;
    attachment.onRemoved(() => {
      forEveryone(this.#channels.values(), ({ channel }) => channel.peerGone('died'));
    });
    attachment.onShut(() => this.#closeAll());
  }

  /**
   * Joins the region behind a device, which it owns from now on, and closes when it rejects. Rejects with ERR_IVSHMEM_NAME for a
   * name no member can have, ERR_IVSHMEM_REFUSED when it is taken, ERR_IVSHMEM_SERVER_SILENT when no server answers for 10 s,
   * ERR_IVSHMEM_MEMBERSHIP_DESCRIPTION or _ABSENT for addresses and labels that do not fit or that this region cannot hold, and
   * the errors of readHeader.
   */
  static async join(device: RegionDevice, options: RegionOptions): Promise<Region> {
    let region: Region | null = null;
    try {
      Attachment.checkName(options.name);
      region = new Region(device, options);
      const attachment = region.#attachment;
      await attachment.hello(joinDescription(region.#views, options));
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

  /** The sockets among this member's statistics: counted by `ivshmem/net`, which makes sockets of channels. */
  get sockets(): SocketCounts {
    return this.#tally.sockets;
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

  /**
   * Who else is here, and what becomes of them. Rejects with ERR_IVSHMEM_MEMBERSHIP_ABSENT in a region served by a version
   * without it, _MEMBERSHIP_OPTIONS for a bad `suspectAfterMs`, _MEMBERSHIP_DAMAGED when the table is damaged and the server
   * does not heal it, ERR_IVSHMEM_DIRECTORY for a `directory` that is none, or another region's, _SERVER_SILENT when a server that is asked for suspects does not answer for 10 s.
   */
  membership(options: MembershipOptions = {}): Promise<Membership> {
    return this.#views.open(options);
  }

  /**
   * Says that this member will leave: the others see it as `leaving`, and it gets no new channels. Those it has go on. Resolves
   * when the server has published it. Rejects with ERR_IVSHMEM_SERVER_SILENT when it does not answer for 10 s.
   */
  async drain(): Promise<void> {
    this.#attachment.check('drain');
    await this.#attachment.control.drain();
  }

  /** [spins that found work, sleeps, bells, spurious bells] of this region's waiter. */
  waitStatistics(): number[] {
    return this.#attachment.waitStatistics();
  }

  /** What this member counted since it joined: messages, bytes, doorbells, sleeps. ERR_IVSHMEM_CLOSED once it has left. */
  statistics(): Statistics {
    return this.#attachment.statistics();
  }

  /** Calls back once when the device is unplugged; every channel has ended by then. */
  onRemoved(callback: () => void): void {
    this.#attachment.onRemoved(() => callback());
  }

  /**
   * Leaves: closes listeners, channels and memberships, tells the server, releases the device. Idempotent: further calls wait for the
   * first one's end. That one rejects with ERR_IVSHMEM_SERVER_SILENT when the server does not answer for 10 s; all is released even so.
   */
  async close({ reason = 'closed' }: CloseOptions = {}): Promise<void> {
    if (!this.#attachment.leaving()) return this.#left;
    const left = this.#leave(reason);
    this.#left = left.catch(() => {});
    await left;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #leave(reason: LeaveReason): Promise<void> {
    try {
      this.#closeAll();
    } finally {
      await this.#attachment.goodbye(reason);
    }
  }

  /** The exceptions of those who listen for the end of a channel leave when everything is closed. */
  #closeAll(): void {
    const channels = [...this.#channels.values()].map(({ channel }) => channel);
    forEveryone([this.#views, ...this.#listeners.values(), ...channels], (one) => one.close());
  }

  #serveEvents(): void {
    const { words, base } = this.#attachment;
    // Acquire: pairs with the server's release of eventCount.
    const count = Atomics.load(words, base + MEMBER_W.eventCount);
    const first = this.#eventsSeen;
    this.#eventsSeen = count;
    const fresh = Math.min((count - first) >>> 0, EVENT_ENTRIES);
    const numbers = Array.from({ length: fresh }, (_, i) => {
      const entry = ((first + i) >>> 0) % EVENT_ENTRIES;
      return Atomics.load(words, base + MEMBER_W.events + entry);
    });
    // After the entries: the server writes an event over one that is a whole ring older, and counts it then.
    const behind = (Atomics.load(words, base + MEMBER_W.eventCount) - first) >>> 0;
    if (fresh < EVENT_ENTRIES && behind < EVENT_ENTRIES)
      forEveryone(numbers, (number) => this.#lookAt(number));
    // The ring of events went over its end: look at the whole table instead.
    else forEveryone(new Array(this.header.channels).keys(), (number) => this.#lookAt(number));
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
    const over = known !== undefined && known.record.generation !== record?.generation;
    try {
      if (over) known.channel.peerGone('died');
    } finally {
      // Whatever those throw who listened for the end of the last one of this number.
      if (over) this.#forget(number, known.record.generation);
      if (record !== null) this.#look(record);
    }
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
    const holds = new Holds((change) => attachment.wait(change));
    const channel = buildChannel(attachment.device.memory, record, side, service, this.#maxMessageBytes, {
      notifyPeer: () => attachment.notify(peer, number),
      postSelf: () => attachment.postSelf(number),
      poll: () => {
        // The peer we poll for may need this processor.
        binding.yieldProcessor();
        attachment.poll();
      },
      waiting: holds.wait,
      unref: () => holds.unref(),
      release: () => {
        this.#forget(number, generation);
        if (attachment.state === 'open') attachment.background(attachment.control.close(number, generation));
      },
    });
    this.#channels.set(number, { channel, record, side });
    this.#tally.channelsOpened++;
    const about = { region: this.header.name, member: this.name, channel: number, service, peer };
    publish('channel.open', () => ({ ...about, side }));
    channel.onEnd((end) => {
      this.#tally.channelsEnded++;
      publish('channel.end', () => ({ ...about, end }));
    });
    return channel;
  }

  #forget(number: number, generation: number): void {
    const known = this.#channels.get(number);
    if (known?.record.generation !== generation) return;
    this.#channels.delete(number);
    this.#tally.add(known.channel);
  }
}
