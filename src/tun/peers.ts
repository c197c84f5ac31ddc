import type { Channel, ChannelEnd, Region } from '../channel/index.ts';
import { IvshmemError, isIvshmemError } from '../errors/index.ts';
import type { Member, Membership } from '../membership/index.ts';
import type { PacketPump } from '../native/binding.ts';
import type { TunAddresses } from './addresses.ts';
import { placeOf } from './place.ts';

/** The vector that pumps ring: 0 is the event loop's. */
export const TUN_VECTOR = 1;
const RETRY_MS = 1000;

/** Another member with an IP interface, reached through shared memory. */
export interface TunPeer {
  readonly slot: number;
  /** Of the member. */
  readonly name: string;
  readonly addresses: readonly string[];
}

interface Linked {
  readonly id: number;
  readonly peer: TunPeer;
  readonly channel: Channel;
}

export interface PeersOptions {
  readonly queueSize: number;
  readonly dataBytes: number;
  readonly came: (peer: TunPeer) => void;
  readonly went: (peer: TunPeer, why: ChannelEnd) => void;
  /** What concerns one peer only. */
  readonly failed: (error: unknown) => void;
}

/**
 * Keeps one channel with each member that has an IP interface, attached to the pump. Of two members the one in the lower slot
 * connects, so that both do not.
 */
export class Peers {
  readonly #region: Region;
  readonly #membership: Membership;
  readonly #pump: PacketPump;
  readonly #addresses: TunAddresses;
  readonly #options: PeersOptions;
  readonly #linked = new Map<number, Linked>();
  /** Slots to which a connection is being made. */
  readonly #connecting = new Set<number>();
  /** Channels from members that are not linked yet, by slot. */
  readonly #arrived = new Map<number, Channel>();
  readonly #retries = new Map<number, NodeJS.Timeout>();
  #nextId = 1;
  #closed = false;

  constructor(
    region: Region,
    membership: Membership,
    pump: PacketPump,
    addresses: TunAddresses,
    options: PeersOptions,
  ) {
    this.#region = region;
    this.#membership = membership;
    this.#pump = pump;
    this.#addresses = addresses;
    this.#options = options;
  }

  list(): TunPeer[] {
    return [...this.#linked.values()].map(({ peer }) => peer);
  }

  /** A member is there, or says something else of itself. */
  consider(slot: number): void {
    const member = this.#membership.get(slot);
    if (this.#closed || member === null || slot === this.#region.slot) return;
    const addresses = this.#addressesOf(member);
    const linked = this.#linked.get(slot);
    if (linked !== undefined) {
      // Other addresses: another interface, which makes a channel of its own.
      if (linked.peer.addresses.join() !== addresses.join()) this.#unlink(linked, 'closed');
      return;
    }
    if (addresses.length === 0) return;
    const peer = { slot, name: member.name, addresses };
    const arrived = this.#arrived.get(slot);
    if (arrived !== undefined) {
      this.#arrived.delete(slot);
      this.#link(peer, arrived);
    } else if (this.#region.slot < slot && !this.#connecting.has(slot)) {
      const service = member.listeners.find((each) => this.#addresses.ofPeer(each).length > 0)!;
      void this.#connect(peer, service);
    }
  }

  /** A member connected to our service. */
  accept(channel: Channel): void {
    const { peer } = channel;
    if (this.#closed || peer > this.#region.slot) {
      channel.close();
      return;
    }
    this.#arrived.get(peer)?.close();
    this.#arrived.set(peer, channel);
    channel.onEnd(() => {
      if (this.#arrived.get(peer) !== channel) return;
      this.#arrived.delete(peer);
      channel.close();
    });
    this.consider(peer);
  }

  /** The pump says that a peer broke the rules. */
  dropBroken(): void {
    const broken = new Set(this.#pump.broken());
    for (const linked of [...this.#linked.values()])
      if (broken.has(linked.id)) this.#unlink(linked, 'broken');
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#retries.values()) clearTimeout(timer);
    for (const channel of this.#arrived.values()) channel.close();
    for (const linked of [...this.#linked.values()]) this.#unlink(linked, 'closed-here');
  }

  /** What a member claims, as far as nobody else has it and we can reach it. */
  #addressesOf(member: Member): string[] {
    const taken = new Set<string>();
    for (const { peer } of this.#linked.values())
      if (peer.slot !== member.slot) for (const address of peer.addresses) taken.add(address);
    const claimed = new Set(member.listeners.flatMap((service) => this.#addresses.ofPeer(service)));
    return [...claimed].filter((address) => !taken.has(address));
  }

  async #connect(peer: TunPeer, service: string): Promise<void> {
    const { queueSize, dataBytes } = this.#options;
    this.#connecting.add(peer.slot);
    try {
      const channel = await this.#region.connect(service, { peer: peer.name, queueSize, dataBytes });
      if (this.#closed || channel.peer !== peer.slot) channel.close();
      else this.#link(peer, channel);
    } catch (error) {
      // It may have left meanwhile, or listen again in a moment; everything else is worth a word.
      if (!this.#closed && !isIvshmemError(error, 'ERR_IVSHMEM_REFUSED')) this.#options.failed(error);
      this.#considerLater(peer.slot);
    } finally {
      this.#connecting.delete(peer.slot);
    }
  }

  #link(peer: TunPeer, channel: Channel): void {
    const linked: Linked = { id: this.#nextId++, peer, channel };
    try {
      const { device } = this.#region;
      const doorbell = device.doorbell?.(peer.slot, TUN_VECTOR) ?? null;
      if (doorbell === null) {
        const why = `the doorbell of ${peer.name} cannot be rung without the event loop`;
        throw new IvshmemError('ERR_IVSHMEM_TUN_DOORBELL', { on: device.on, why });
      }
      const place = placeOf(this.#region, channel);
      this.#pump.attach({ ...place, ...peer, id: linked.id, memory: device.memory, doorbell });
    } catch (error) {
      channel.close();
      this.#options.failed(error);
      this.#considerLater(peer.slot);
      return;
    }
    this.#linked.set(peer.slot, linked);
    this.#options.came(peer);
    channel.onEnd((end) => this.#unlink(linked, end));
  }

  #unlink(linked: Linked, why: ChannelEnd): void {
    const { slot } = linked.peer;
    if (this.#linked.get(slot) !== linked) return;
    this.#linked.delete(slot);
    // Before the server may give the memory to somebody else.
    this.#pump.detach(linked.id);
    linked.channel.close();
    this.#options.went(linked.peer, why);
    this.#considerLater(slot);
    // Somebody else may have waited for these addresses.
    for (const member of this.#closed ? [] : this.#membership.list())
      if (member.slot !== slot) this.consider(member.slot);
  }

  /** A member that comes back says so; this is for one that is still there. */
  #considerLater(slot: number): void {
    if (this.#closed) return;
    clearTimeout(this.#retries.get(slot));
    const again = (): void => {
      this.#retries.delete(slot);
      this.consider(slot);
    };
    this.#retries.set(slot, setTimeout(again, RETRY_MS).unref());
  }
}
