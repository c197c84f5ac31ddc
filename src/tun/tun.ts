import { EventEmitter } from 'node:events';
import { closeSync } from 'node:fs';
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import type { ChannelEnd, Listener, Region } from '../channel/index.ts';
import { IvshmemError } from '../errors/index.ts';
import type { Membership } from '../membership/index.ts';
import { binding, type FdWatch, type PacketCounters } from '../native/binding.ts';
import { TunAddresses } from './addresses.ts';
import { TunInterface } from './interface.ts';
import { MOST_QUEUES, serviceName } from './offer.ts';
import { Peers, type TunPeer } from './peers.ts';
import { Pumps } from './pumps.ts';

export interface TunOptions {
  /** One IPv4 address, one IPv6 address or one of each, with the prefix of the network that peers are in: "10.77.0.1/24". */
  readonly addresses: readonly string[];
  /** Of the interface, at most 15 bytes; "%d" becomes the next free number. Default "ivshm%d". */
  readonly name?: string;
  /** Bytes, 1280 to 65535. Default 1500: TCP travels in pieces of up to 64 KiB all the same. */
  readonly mtu?: number;
  /**
   * 1 to 16; each takes a thread, a vector of the device (from 1 on) and a channel for each peer. A flow keeps to one of them. Default 1.
   */
  readonly queues?: number;
  /** Descriptors per direction of each channel this side makes, a power of two. Default 256. */
  readonly queueSize?: number;
  /** Data area per direction of each channel this side makes, bytes. Default 512 KiB, with several queues 256 KiB. */
  readonly dataBytes?: number;
  /**
   * The longest time a pump looks for packets before it sleeps, nanoseconds; looks that find nothing get shorter. Default 20 000, 0 on
   * a single processor.
   */
  readonly spinNs?: number;
}

/** What listeners of a Tun are called with. */
export interface TunEvents {
  /** A peer is reached through shared memory from now on. */
  peer: [peer: TunPeer];
  /** It is not any more, and why; the route is gone. */
  gone: [peer: TunPeer, why: ChannelEnd];
  /** Something that concerns one peer. Without a listener, a warning of the process. */
  warning: [error: Error];
  /** Once: closed here (null), or by a fault. */
  close: [error: Error | null];
}

const MIN_MTU = 1280; // IPv6 asks for it (RFC 8200 §5)
const MAX_MTU = 65535;
const MIN_DATA_BYTES = 128 << 10;

/**
 * An IP interface whose packets travel through shared memory, in a native thread. For each member of the region that has one
 * too there is a route to its addresses, and no route when it is gone.
 */
export class Tun extends EventEmitter<TunEvents> {
  readonly #interface: TunInterface;
  readonly #addresses: TunAddresses;
  readonly #pumps: Pumps;
  readonly #notice: number;
  readonly #watch: FdWatch;
  #peers: Peers | null = null;
  #membership: Membership | null = null;
  #listener: Listener | null = null;
  #closed = false;

  private constructor(region: Region, iface: TunInterface, addresses: TunAddresses, options: TunOptions) {
    super();
    this.#interface = iface;
    this.#addresses = addresses;
    this.#notice = binding.eventfdCreate();
    try {
      this.#pumps = new Pumps(region, iface.queues, {
        notice: this.#notice,
        spinNs: options.spinNs ?? (availableParallelism() > 1 ? 20_000 : 0),
        addresses: addresses.own,
      });
    } catch (error) {
      closeSync(this.#notice);
      throw error;
    }
    this.#watch = new binding.FdWatch(this.#notice, () => this.#look());
    this.#watch.start(true, false);
  }

  /**
   * Makes the interface and links it to the peers that are there and that come. Takes vectors of the device, from 1 on. Rejects with
   * ERR_IVSHMEM_TUN_ADDRESS, _TUN_OPTIONS, _TUN_OPEN, _TUN_COMMAND, _TUN_DOORBELL, and the errors of listen and membership.
   */
  static async open(region: Region, options: TunOptions): Promise<Tun> {
    const addresses = new TunAddresses(options.addresses);
    const { name = 'ivshm%d', mtu = 1500, queues = 1, queueSize = 256 } = options;
    const { dataBytes = queues > 1 ? 256 << 10 : 512 << 10 } = options;
    const refuse = (why: string): never => {
      throw new IvshmemError('ERR_IVSHMEM_TUN_OPTIONS', { why });
    };
    if (!Number.isInteger(mtu) || mtu < MIN_MTU || mtu > MAX_MTU) refuse(`mtu is ${mtu}`);
    if (!Number.isInteger(queues) || queues < 1 || queues > MOST_QUEUES) refuse(`queues is ${queues}`);
    if (!(dataBytes >= MIN_DATA_BYTES) || dataBytes % 4096 !== 0) refuse(`dataBytes is ${dataBytes}`);
    const iface = new TunInterface(name, queues);
    let tun: Tun | null = null;
    try {
      await iface.configure(addresses.own, mtu);
      tun = new Tun(region, iface, addresses, options);
      await tun.#begin(region, queueSize, dataBytes);
      return tun;
    } catch (error) {
      if (tun === null) iface.close();
      else tun.close();
      throw error;
    }
  }

  /** Of the interface. */
  get name(): string {
    return this.#interface.name;
  }

  get addresses(): readonly string[] {
    return this.#addresses.own;
  }

  /** Those reached through shared memory now. */
  peers(): TunPeer[] {
    return this.#peers?.list() ?? [];
  }

  /** What the pumps moved and dropped. */
  counters(): PacketCounters {
    return this.#pumps.counters();
  }

  /** Takes the interface away, with its addresses and routes, and closes the channels. The region stays. Idempotent. */
  close(): void {
    this.#end(null);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #begin(region: Region, queueSize: number, dataBytes: number): Promise<void> {
    this.#membership = await region.membership();
    const { queues, udpSegmentation } = this.#interface;
    const peers = new Peers(region, this.#membership, this.#pumps, this.#addresses, {
      queues: queues.length,
      queueSize,
      dataBytes,
      came: (peer) => void this.#came(peer),
      went: (peer, why) => void this.#went(peer, why),
      failed: (error) => this.#warn(error),
    });
    this.#peers = peers;
    for (const type of ['join', 'update', 'recovered'] as const)
      this.#membership.on(type, ({ member }) => peers.consider(member.slot));
    // Without a listener the membership would warn; what is known of the members stays as it was.
    this.#membership.on('error', (error) => this.#warn(error));
    const { on } = region.device;
    region.onRemoved(() => this.#end(new IvshmemError('ERR_IVSHMEM_DEVICE_REMOVED', { on })));
    const offer = { addresses: this.addresses, queues: queues.length, udpSegmentation };
    this.#listener = await region.listen(serviceName(offer));
    void this.#accept(this.#listener, peers);
    for (const { slot } of this.#membership.list()) peers.consider(slot);
  }

  async #accept(listener: Listener, peers: Peers): Promise<void> {
    for await (const channel of listener) peers.accept(channel);
    // It ends when the region is closed as well.
    this.close();
  }

  async #came(peer: TunPeer): Promise<void> {
    try {
      this.#offload();
      for (const address of peer.addresses) {
        const source = this.addresses.find((own) => isIP(own) === isIP(address))!;
        await this.#interface.addRoute(address, source);
      }
    } catch (error) {
      this.#warn(error);
    }
    if (this.#peers?.list().includes(peer)) this.emit('peer', peer);
  }

  async #went(peer: TunPeer, why: ChannelEnd): Promise<void> {
    // With the interface all its routes go.
    if (this.#closed) return;
    try {
      for (const address of peer.addresses) await this.#interface.removeRoute(address);
      this.#offload();
    } catch (error) {
      this.#warn(error);
    }
    if (!this.#closed) this.emit('gone', peer, why);
  }

  /** An offload is one of the interface: what one peer cannot take, none gets. */
  #offload(): void {
    this.#interface.giveLargeUdp(this.peers().every(({ udpSegmentation }) => udpSegmentation));
  }

  #look(): void {
    if (this.#closed) return;
    binding.eventfdDrain(this.#notice);
    this.#peers?.dropBroken();
    const errno = this.#pumps.failure();
    if (errno !== 0) this.#end(new IvshmemError('ERR_IVSHMEM_TUN_FAILED', { name: this.name, errno }));
  }

  #warn(cause: unknown): void {
    const error = cause instanceof Error ? cause : new Error(String(cause));
    if (this.listenerCount('warning') > 0) this.emit('warning', error);
    else process.emitWarning(error);
  }

  #end(error: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    this.#peers?.close();
    // The interface goes when all have closed their descriptors of it.
    this.#pumps.close();
    this.#interface.close();
    closeSync(this.#notice);
    this.#membership?.close();
    this.#listener?.close();
    this.emit('close', error);
  }
}
