import type { Channel, Listener, Region } from '../channel/index.ts';
import type { Member, Membership, MembershipEvent } from '../membership/index.ts';
import { Directory, plainAddress } from './directory.ts';
import { decode, encode, type Message, type Tuple } from './messages.ts';
import { passing, type Reason, reasonNumber } from './reasons.ts';
import { linkUnder, obstacleOf, type Socket, setPath, stateOf, tupleOf } from './socket.ts';

type Offer = Extract<Message, { type: 'offer' }>;

/** Members tried for one connection, when several say they listen there; and so many in a row when no channel is to be had. */
const MOST_STRANGERS = 32;
const MOST_CANDIDATES = 3;
/** An offer can overtake the event that its connection was accepted. */
const ACCEPT_WAIT_MS = 500;
/** A channel on which nothing was offered is closed after so long. */
const OFFER_WAIT_MS = 5000;
/** For a member that offered so many connections that nobody has, nothing is waited for any more. */
const MOST_UNKNOWN = 256;
/** After a reason that passes: first wait, doubled each time, and how often. */
const RETRY_MS = 20;
const MOST_RETRIES = 8;

export interface ParticipantOptions {
  /** Bytes of channel memory per direction of one connection, a multiple of 4096. Default 256 KiB. */
  readonly dataBytes?: number;
  /** Descriptors per direction, a power of two. Default 128. */
  readonly queueSize?: number;
}

interface Waiting {
  readonly region: Region;
  readonly channel: Channel;
  readonly offer: Offer;
  readonly timer: NodeJS.Timeout;
}

interface Connecting {
  retries: number;
  timer: NodeJS.Timeout | null;
  busy: boolean;
  /** Who was offered it last, and who does not have it: several processes may listen to one port (node:cluster). */
  asked: string;
  readonly strangers: Set<string>;
}

/** The part of this process in a region, or in one after the other: what its sockets are offered, and to whom they are. */
export class Participant {
  #region: Region | null = null;
  readonly #options: Required<ParticipantOptions>;
  readonly #listeners = new Map<string, { count: number; listener: Promise<Listener | null> }>();
  /** Sockets that were accepted, and offers for such as will be, by their connection. */
  readonly #accepted = new Map<string, Socket>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #connected = new Map<Socket, Connecting>();
  readonly #unknown = new Map<string, number>();
  #ready: Promise<void> = Promise.resolve();
  #members: Membership | null = null;
  #directory: Directory | null = null;
  /** This member was leaving, when it was last told of. */
  #leaving = false;

  constructor(region: Region | null, { dataBytes = 256 << 10, queueSize = 128 }: ParticipantOptions) {
    this.#options = { dataBytes, queueSize };
    if (region !== null) this.join(region);
  }

  /** Null before there is one, and after its device is gone. */
  get region(): Region | null {
    return this.#region;
  }

  /** Who is where; null while there is no region, and until its members are known. */
  get directory(): Directory | null {
    return this.#directory;
  }

  /** Resolves when the membership is known; never rejects: without it all stays on TCP. */
  get ready(): Promise<void> {
    return this.#ready;
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
    for (const [service, known] of this.#listeners) known.listener = this.#listen(service);
    void ready.then(() => this.#offerAll());
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
    const tuple = tupleOf(socket);
    if (tuple === null) return;
    const key = keyOf(tuple);
    stateOf(socket).participant = this;
    this.#accepted.set(key, socket);
    socket.once('close', () => {
      if (this.#accepted.get(key) === socket) this.#accepted.delete(key);
    });
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) this.#answer(key, waiting, socket);
  }

  /** A socket of this process is connected. */
  connected(socket: Socket): void {
    stateOf(socket).participant = this;
    this.#connected.set(socket, {
      retries: 0,
      timer: null,
      busy: false,
      asked: '',
      strangers: new Set(),
    });
    socket.once('close', () => {
      const connecting = this.#connected.get(socket);
      if (connecting?.timer) clearTimeout(connecting.timer);
      this.#connected.delete(socket);
    });
    void this.#offer(socket);
  }

  /** A socket is on shared memory: what went before does not count. */
  attached(socket: Socket): void {
    const connecting = this.#connected.get(socket);
    if (connecting !== undefined) connecting.retries = 0;
  }

  /** Nothing is under way with a socket any more. */
  idle(socket: Socket): void {
    const connecting = this.#connected.get(socket);
    if (connecting === undefined) return;
    const reason = stateOf(socket).reason;
    if (passing(reason)) this.#retry(socket, connecting);
    else if (reason === 'unknown-connection' && connecting.strangers.size < MOST_STRANGERS) {
      connecting.strangers.add(connecting.asked);
      void this.#offer(socket);
    }
  }

  /** Brings a connection to TCP, until the peer or this side is asked otherwise. */
  leave(socket: Socket, reason: Reason): void {
    stateOf(socket).link?.session.leave(reason);
  }

  #lost(): void {
    this.#region = null;
    this.#members = null;
    this.#directory = null;
    this.#unknown.clear();
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
      this.#unknown.delete(lifeOf(member));
      return;
    }
    const own = member.slot === this.#region?.slot;
    const stays = own && this.#leaving && member.state === 'active';
    if (own) this.#leaving = member.state === 'leaving';
    if (stays) this.#offerAll();
    if (member.state === 'leaving') {
      for (const socket of this.#sockets()) {
        const { link } = stateOf(socket);
        if (link !== null && (own || link.peer === member.slot)) this.leave(socket, 'leaving');
      }
      return;
    }
    if (own) return;
    for (const socket of this.#connected.keys()) {
      const there = tupleOf(socket);
      if (there === null || stateOf(socket).path !== 'tcp') continue;
      const listening = this.#directory?.listenersAt(there.remoteAddress, there.remotePort) ?? [];
      if (listening.some(({ slot }) => slot === member.slot)) void this.#offer(socket);
    }
  }

  #offerAll(): void {
    for (const [socket, connecting] of this.#connected) {
      connecting.retries = 0;
      connecting.strangers.clear();
      if (stateOf(socket).path === 'tcp') void this.#offer(socket);
    }
  }

  #sockets(): Socket[] {
    return [...this.#accepted.values(), ...this.#connected.keys()];
  }

  async #offer(socket: Socket): Promise<void> {
    const connecting = this.#connected.get(socket)!;
    if (connecting.busy) return;
    connecting.busy = true;
    try {
      const reason = await this.#tryOffer(socket, connecting);
      if (reason === null || socket.destroyed) return;
      setPath(socket, 'tcp', reason);
      if (passing(reason)) this.#retry(socket, connecting);
    } finally {
      connecting.busy = false;
    }
  }

  /** Null when an offer was made, now or before: the session goes on with it. */
  async #tryOffer(socket: Socket, connecting: Connecting): Promise<Reason | null> {
    await this.#ready;
    const tuple = tupleOf(socket);
    const region = this.#region;
    if (tuple === null || region === null) return tuple === null ? 'half-closed' : 'no-region';
    const { remoteAddress, remotePort } = tuple;
    const listening = this.#directory?.listenersAt(remoteAddress, remotePort) ?? [];
    const candidates = listening.filter((member) => !connecting.strangers.has(lifeOf(member)));
    // All of them have said so.
    if (candidates.length < listening.length && candidates.length === 0) return null;
    let reason: Reason = 'no-peer';
    for (const member of candidates.slice(0, MOST_CANDIDATES)) {
      const service = member.listeners.find(
        (each) => each === `tcp:${remotePort}` || each === `tcp:${plainAddress(remoteAddress)}:${remotePort}`,
      );
      if (service === undefined) continue;
      reason = obstacleOf(socket) ?? 'none';
      // The session says by itself what becomes of what it is at.
      if (reason !== 'none') return reason === 'busy' ? null : reason;
      let channel: Channel;
      try {
        channel = await region.connect(service, { peer: member.name, ...this.#options });
      } catch {
        // A quota, no memory, a member that left meanwhile, no server: TCP does what it did.
        reason = 'no-channel';
        continue;
      }
      reason = obstacleOf(socket) ?? 'none';
      connecting.asked = lifeOf(member);
      if (reason === 'none') {
        linkUnder(socket).offer(region, channel, tuple);
        return null;
      }
      channel.close();
      return reason === 'busy' ? null : reason;
    }
    return reason;
  }

  #retry(socket: Socket, connecting: Connecting): void {
    if (connecting.timer !== null || connecting.retries >= MOST_RETRIES || this.#region === null) return;
    const wait = RETRY_MS << connecting.retries++;
    connecting.timer = setTimeout(() => {
      connecting.timer = null;
      void this.#offer(socket);
    }, wait).unref();
  }

  async #listen(service: string): Promise<Listener | null> {
    const region = this.#region;
    if (region === null) return null;
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
    for await (const channel of listener) void this.#hear(region, channel);
  }

  /** Takes the first message of a channel, which names a connection. */
  async #hear(region: Region, channel: Channel): Promise<void> {
    if (region.device.vectors > 0) channel.unref();
    const timer = setTimeout(() => channel.close(), OFFER_WAIT_MS).unref();
    let offer: Message | null = null;
    try {
      const message = await channel.next();
      offer = message === null ? null : decode(message.copy());
      if (message !== null) channel.release(message);
    } catch {
      // A ring that its first message breaks: closed below.
      offer = null;
    } finally {
      clearTimeout(timer);
    }
    if (offer?.type !== 'offer') return channel.close();
    const reason = this.#examine(region, channel, offer);
    if (reason !== null) this.#decline(channel, reason);
  }

  #examine(region: Region, channel: Channel, offer: Offer): Reason | null {
    const { tuple } = offer;
    const member = this.#members?.get(channel.peer);
    if (!member || !this.#directory?.owns(channel.peer, tuple.localAddress)) return 'foreign-address';
    const known = lifeOf(member);
    const key = keyOf(turned(tuple));
    const often = (this.#unknown.get(known) ?? 0) > MOST_UNKNOWN;
    if (often && !this.#accepted.has(key)) return 'unknown-connection';
    if (this.#waiting.has(key)) return 'busy';
    const timer = setTimeout(() => {
      this.#waiting.delete(key);
      this.#unknown.set(known, (this.#unknown.get(known) ?? 0) + 1);
      this.#decline(channel, 'unknown-connection');
    }, ACCEPT_WAIT_MS).unref();
    const waiting = { region, channel, offer, timer };
    const socket = this.#accepted.get(key);
    this.#waiting.set(key, waiting);
    if (socket !== undefined) this.#answer(key, waiting, socket);
    return null;
  }

  #answer(key: string, { region, channel, offer, timer }: Waiting, socket: Socket): void {
    this.#waiting.delete(key);
    clearTimeout(timer);
    const obstacle = obstacleOf(socket);
    if (obstacle !== null) this.#decline(channel, obstacle);
    else if (!linkUnder(socket).accept(region, channel, offer)) this.#decline(channel, 'busy');
  }

  #decline(channel: Channel, reason: Reason): void {
    if (channel.end === null) channel.send(encode.decline(reasonNumber(reason)));
    channel.close();
  }
}

/** Names one life of a slot. */
const lifeOf = ({ slot, epoch }: Member): string => `${slot} ${epoch}`;

/** A connection as its acceptor sees it. */
const keyOf = ({ localAddress, localPort, remoteAddress, remotePort }: Tuple): string =>
  `${plainAddress(localAddress)} ${localPort} ${plainAddress(remoteAddress)} ${remotePort}`;

const turned = (tuple: Tuple): Tuple => ({
  localAddress: tuple.remoteAddress,
  localPort: tuple.remotePort,
  remoteAddress: tuple.localAddress,
  remotePort: tuple.localPort,
});
