import { isDeepStrictEqual } from 'node:util';
import type { Channel, ChannelEnd, Region } from '../channel/index.ts';
import { isIvshmemError } from '../errors/index.ts';
import type { Member, Membership } from '../membership/index.ts';
import type { TunAddresses } from './addresses.ts';
import { MOST_QUEUES, readOffer, type TunOffer } from './offer.ts';
import type { Attached, Pumps } from './pumps.ts';

const RETRY_MS = 1000;

/** Another member with an IP interface, reached through shared memory. */
export interface TunPeer extends TunOffer {
  readonly slot: number;
  /** Of the member. */
  readonly name: string;
}

interface Linked {
  readonly peer: TunPeer;
  readonly channels: readonly Channel[];
  readonly attached: readonly Attached[];
}

export interface PeersOptions {
  /** Of our interface. */
  readonly queues: number;
  readonly queueSize: number;
  readonly dataBytes: number;
  readonly came: (peer: TunPeer) => void;
  readonly went: (peer: TunPeer, why: ChannelEnd) => void;
  /** What concerns one peer only. */
  readonly failed: (error: unknown) => void;
}

/**
 * Keeps channels with each member that has an IP interface, attached to the pumps: as many as the one of the two has queues that has
 * more. The one in the lower slot connects, so that both do not.
 */
export class Peers {
  readonly #region: Region;
  readonly #membership: Membership;
  readonly #pumps: Pumps;
  readonly #addresses: TunAddresses;
  readonly #options: PeersOptions;
  readonly #linked = new Map<number, Linked>();
  /** Slots to which a connection is being made. */
  readonly #connecting = new Set<number>();
  /** Channels from members that are not linked yet, by slot. */
  readonly #arrived = new Map<number, Channel[]>();
  readonly #retries = new Map<number, NodeJS.Timeout>();
  #closed = false;

  constructor(
    region: Region,
    membership: Membership,
    pumps: Pumps,
    addresses: TunAddresses,
    options: PeersOptions,
  ) {
    this.#region = region;
    this.#membership = membership;
    this.#pumps = pumps;
    this.#addresses = addresses;
    this.#options = options;
  }

  list(): TunPeer[] {
    return [...this.#linked.values()].map(({ peer }) => peer);
  }

  /** A member is there, or something else is said of it. */
  consider(slot: number): void {
    if (slot === this.#region.slot) {
      this.#considerOthers(slot);
      return;
    }
    const member = this.#membership.get(slot);
    if (this.#closed || member === null) return;
    const found = this.#offerOf(member);
    const linked = this.#linked.get(slot);
    if (linked !== undefined) {
      // Another offer: another interface, which makes channels of its own.
      if (found === null || !isDeepStrictEqual(found.peer, linked.peer)) this.#unlink(linked, 'closed');
      return;
    }
    if (found === null) return;
    const { peer, service } = found;
    const count = Math.max(peer.queues, this.#options.queues);
    const arrived = this.#arrived.get(slot) ?? [];
    if (arrived.length >= count) {
      this.#arrived.delete(slot);
      for (const spare of arrived.splice(0, arrived.length - count)) spare.close();
      this.#link(peer, arrived);
    } else if (this.#region.slot < slot && !this.#connecting.has(slot)) {
      void this.#connect(peer, service, count);
    }
  }

  /** A member connected to our service. */
  accept(channel: Channel): void {
    const { peer } = channel;
    if (this.#closed || peer > this.#region.slot) {
      channel.close();
      return;
    }
    const arrived = this.#arrived.get(peer) ?? [];
    this.#arrived.set(peer, arrived);
    arrived.push(channel);
    if (arrived.length > MOST_QUEUES) arrived.shift()!.close();
    channel.onEnd(() => {
      const at = arrived.indexOf(channel);
      if (at < 0) return;
      arrived.splice(at, 1);
      channel.close();
    });
    this.consider(peer);
  }

  /** A pump says that a peer broke the rules. */
  dropBroken(): void {
    const broken = this.#pumps.broken();
    const has = (attached: Attached): boolean =>
      broken.some(({ pump, id }) => pump === attached.pump && id === attached.id);
    for (const linked of [...this.#linked.values()])
      if (linked.attached.some(has)) this.#unlink(linked, 'broken');
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#retries.values()) clearTimeout(timer);
    for (const channel of [...this.#arrived.values()].flat()) channel.close();
    for (const linked of [...this.#linked.values()]) this.#unlink(linked, 'closed-here');
  }

  /**
   * What a member offers, as far as nobody else has its addresses and we can reach them; null without any, and while it or we are to
   * leave: then packets take another way before the device goes.
   */
  #offerOf(member: Member): { peer: TunPeer; service: string } | null {
    const { slot, name, state } = member;
    if (state === 'leaving' || this.#membership.self?.state === 'leaving') return null;
    const taken = new Set<string>();
    for (const { peer } of this.#linked.values())
      if (peer.slot !== slot) for (const address of peer.addresses) taken.add(address);
    for (const service of member.listeners) {
      const offer = readOffer(service);
      const addresses = this.#addresses.ofPeer(offer?.addresses ?? []);
      const free = [...new Set(addresses)].filter((address) => !taken.has(address));
      if (offer !== null && free.length > 0)
        return { peer: { ...offer, slot, name, addresses: free }, service };
    }
    return null;
  }

  async #connect(peer: TunPeer, service: string, count: number): Promise<void> {
    const { queueSize, dataBytes } = this.#options;
    const channels: Channel[] = [];
    this.#connecting.add(peer.slot);
    try {
      while (channels.length < count)
        channels.push(await this.#region.connect(service, { peer: peer.name, queueSize, dataBytes }));
      const theirs = channels.every((channel) => channel.peer === peer.slot && channel.end === null);
      if (!this.#closed && theirs) this.#link(peer, channels.splice(0));
      else this.#considerLater(peer.slot);
    } catch (error) {
      // It may have left meanwhile, or listen again in a moment; everything else is worth a word.
      if (!this.#closed && !isIvshmemError(error, 'ERR_IVSHMEM_REFUSED')) this.#options.failed(error);
      this.#considerLater(peer.slot);
    } finally {
      for (const channel of channels) channel.close();
      this.#connecting.delete(peer.slot);
    }
  }

  #link(peer: TunPeer, channels: readonly Channel[]): void {
    let attached: readonly Attached[];
    try {
      attached = this.#pumps.attach(channels, peer);
    } catch (error) {
      for (const channel of channels) channel.close();
      this.#options.failed(error);
      this.#considerLater(peer.slot);
      return;
    }
    const linked: Linked = { peer, channels, attached };
    this.#linked.set(peer.slot, linked);
    this.#options.came(peer);
    for (const channel of channels) channel.onEnd((end) => this.#unlink(linked, end));
  }

  #unlink(linked: Linked, why: ChannelEnd): void {
    const { slot } = linked.peer;
    if (this.#linked.get(slot) !== linked) return;
    this.#linked.delete(slot);
    // Before the server may give the memory to somebody else.
    this.#pumps.detach(linked.attached);
    for (const channel of linked.channels) channel.close();
    this.#options.went(linked.peer, why);
    this.#considerLater(slot);
    // Somebody else may have waited for these addresses.
    this.#considerOthers(slot);
  }

  #considerOthers(than: number): void {
    if (this.#closed) return;
    const own = this.#region.slot;
    for (const { slot } of this.#membership.list()) if (slot !== than && slot !== own) this.consider(slot);
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
