import type { Listener, Region } from '../channel/index.ts';
import type { Membership, MembershipEvent } from '../membership/index.ts';
import { Answers } from './answers.ts';
import { Directory, lifeOf } from './directory.ts';
import { Offers } from './offers.ts';
import type { Reason } from './reasons.ts';
import { type Socket, stateOf, tupleOf } from './socket.ts';
import { countIn } from './socket-state.ts';

export interface ParticipantOptions {
  /** Bytes of channel memory per direction that a connection begins with, a multiple of 4096. Default 32 KiB. */
  readonly dataBytes?: number;
  /** How many one that needs more may come to have. Default 1 MiB. */
  readonly maxDataBytes?: number;
  /** Descriptors per direction, a power of two. Default 128. */
  readonly queueSize?: number;
  /** A connection that carried nothing for so long, ms, gives its channel back until it does again. Default 10000. */
  readonly idleMs?: number;
}

/** The part of this process in a region, or in one after the other: what its sockets are offered, and to whom they are. */
export class Participant {
  #region: Region | null = null;
  readonly #listeners = new Map<string, { count: number; listener: Promise<Listener | null> }>();
  readonly #answers = new Answers(this);
  readonly #offers: Offers;
  #ready: Promise<void> = Promise.resolve();
  #members: Membership | null = null;
  #directory: Directory | null = null;
  /** This member was leaving, when it was last told of. */
  #leaving = false;

  constructor(region: Region | null, options: ParticipantOptions) {
    const { dataBytes = 32 << 10, queueSize = 128, idleMs = 10_000 } = options;
    const maxDataBytes = Math.max(dataBytes, options.maxDataBytes ?? 1 << 20);
    this.#offers = new Offers(this, { dataBytes, maxDataBytes, queueSize, idleMs });
    if (region !== null) this.join(region);
  }

  /** Null before there is one, and after its device is gone. */
  get region(): Region | null {
    return this.#region;
  }

  get members(): Membership | null {
    return this.#members;
  }

  /** Who is where; null while there is no region, and until its members are known. */
  get directory(): Directory | null {
    return this.#directory;
  }

  /** Resolves when the membership is known; never rejects: without it all stays on TCP. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  /** Of the sockets connected here: how many hold channels, and how many wait for one. */
  get demand(): { readonly held: number; readonly waiting: number } {
    return this.#offers.demand;
  }

  /** Takes part in this region from now on: what is advertised is advertised there, and the connections that are there are offered. */
  join(region: Region): void {
    this.#region = region;
    this.#leaving = false;
    region.onRemoved(() => {
      if (this.#region === region) this.#lost();
    });
    const ready = this.#watch(region);
    this.#ready = ready;
    for (const socket of this.#sockets()) countIn(socket, region.sockets);
    for (const [service, known] of this.#listeners) known.listener = this.#listen(service);
    void ready.then(() => this.#offers.offerAll());
  }

  /** Tells the others of a listener, until the returned function is called. */
  advertise(service: string): () => void {
    const known = this.#listeners.get(service) ?? { count: 0, listener: this.#listen(service) };
    known.count++;
    this.#listeners.set(service, known);
    return () => {
      if (--known.count > 0) return;
      this.#listeners.delete(service);
      void known.listener.then((listener) => listener?.close());
    };
  }

  /** Resolves when the others can see the listener. */
  async advertised(service: string): Promise<void> {
    await this.#listeners.get(service)?.listener;
  }

  /** A listener of this process accepted a connection. */
  accepted(socket: Socket): void {
    if (tupleOf(socket) === null) return;
    stateOf(socket).participant = this;
    this.#count(socket);
    this.#answers.accepted(socket);
  }

  /** A socket of this process is connected. */
  connected(socket: Socket): void {
    stateOf(socket).participant = this;
    this.#count(socket);
    this.#offers.connected(socket);
  }

  /** A socket is on shared memory. */
  attached(socket: Socket): void {
    this.#offers.attached(socket);
  }

  /** Nothing is under way with a socket any more. */
  idle(socket: Socket): void {
    this.#offers.idle(socket);
  }

  /** The channel of a socket is often full. */
  pressed(socket: Socket): void {
    this.#offers.pressed(socket);
  }

  /** Brings a connection to TCP, until the peer or this side is asked otherwise. */
  leave(socket: Socket, reason: Reason): void {
    stateOf(socket).link?.session.leave(reason);
  }

  #count(socket: Socket): void {
    countIn(socket, this.#region?.sockets ?? null);
    socket.once('close', () => countIn(socket, null));
  }

  #lost(): void {
    this.#region = null;
    this.#members = null;
    this.#directory = null;
    this.#answers.forget();
    for (const socket of this.#sockets()) stateOf(socket).link?.deviceGone();
  }

  async #watch(region: Region): Promise<void> {
    try {
      const members = await region.membership();
      if (this.#region !== region) return;
      this.#members = members;
      this.#directory = new Directory(members);
      if (region.device.vectors > 0) members.unref();
      for (const type of ['join', 'update', 'recovered', 'leave'] as const)
        members.on(type, (event: MembershipEvent) => this.#changed(event));
    } catch {
      // A region without a membership has nobody to offer to; the reason 'no-peer' says so.
      if (this.#region === region) this.#directory = null;
    }
  }

  #changed({ type, member }: MembershipEvent): void {
    if (type === 'leave') {
      this.#answers.forget(lifeOf(member));
      return;
    }
    const own = member.slot === this.#region?.slot;
    const stays = own && this.#leaving && member.state === 'active';
    if (own) this.#leaving = member.state === 'leaving';
    if (stays) this.#offers.offerAll();
    if (member.state === 'leaving') {
      for (const socket of this.#sockets()) {
        const { link } = stateOf(socket);
        if (link !== null && (own || link.peer === member.slot)) this.leave(socket, 'leaving');
      }
      return;
    }
    if (!own) this.#offers.offerTo(member);
  }

  #sockets(): Socket[] {
    return [...this.#answers.sockets, ...this.#offers.sockets];
  }

  async #listen(service: string): Promise<Listener | null> {
    const region = this.#region;
    // Offers are examined by the members: whoever offers before they are known would be refused for good.
    await this.#ready;
    if (region === null || region !== this.#region) return null;
    try {
      const listener = await region.listen(service);
      if (region.device.vectors > 0) listener.unref();
      void this.#serve(region, listener);
      return listener;
    } catch {
      // As without a region: connections are TCP's.
      return null;
    }
  }

  async #serve(region: Region, listener: Listener): Promise<void> {
    for await (const channel of listener) void this.#answers.hear(region, channel);
  }
}
