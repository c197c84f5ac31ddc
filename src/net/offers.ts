import type { Channel, Region } from '../channel/index.ts';
import type { Member } from '../membership/index.ts';
import { Demand } from './demand.ts';
import { type Directory, lifeOf, plainAddress } from './directory.ts';
import { passing, type Reason } from './reasons.ts';
import { DEADLINE_MS } from './session-ports.ts';
import { linkUnder, obstacleOf, type Socket, setPath, stateOf, tupleOf } from './socket.ts';
import { Turnstile } from './turnstile.ts';

/** Members that said that a connection is not theirs; and so many tried in a row when no channel is to be had. */
const MOST_STRANGERS = 32;
const MOST_CANDIDATES = 3;
/**
 * Handshakes at a time. A thousand at once would keep the loops at both ends so long that each of them misses its deadlines: all would be
 * tried again, together. A peer that does not answer holds up others for as long as it may take to answer.
 */
const MOST_AT_ONCE = 16;
/** A connection is offered between one and two of these after it was made: most that end before are not worth a channel. */
const SETTLE_MS = 3;
/** After a reason that passes: first wait, doubled each time, and how often; then so long, and until it carries something. */
const RETRY_MS = 20;
const MOST_RETRIES = 8;
const RETRY_LATER_MS = 10_000;
/** A larger channel has so many times the memory of the one before; when there is none, it is asked for again after a while. */
const GROWTH = 8;
const GROW_AGAIN_MS = 2000;

export interface OfferOptions {
  readonly dataBytes: number;
  readonly maxDataBytes: number;
  readonly queueSize: number;
  readonly idleMs: number;
}

/** Where this process takes part, as of now. */
export interface Here {
  readonly region: Region | null;
  readonly directory: Directory | null;
  readonly ready: Promise<void>;
}

interface Connecting {
  retries: number;
  timer: NodeJS.Timeout | null;
  busy: boolean;
  /** Who was offered it last, and who does not have it: several processes may listen to one port (node:cluster). */
  asked: string;
  readonly strangers: Set<string>;
  /** Why this side left shared memory last; null once that is done. */
  left: Reason | null;
  /** Bytes per direction of its channel, or of the next one. */
  dataBytes: number;
  /** A channel to go over to once the one in use is given up. */
  next: { readonly region: Region; readonly channel: Channel } | null;
  /** performance.now() before which no larger channel is asked for. */
  growAfter: number;
}

/** The connector's part: sockets that were connected, the channels they are offered on, and how large those are. */
export class Offers {
  readonly #here: Here;
  readonly #options: OfferOptions;
  readonly #connected = new Map<Socket, Connecting>();
  readonly #demand: Demand<Socket>;
  readonly #turnstile = new Turnstile<Socket>(
    MOST_AT_ONCE,
    DEADLINE_MS.answer,
    (socket) => void this.#offer(socket),
  );
  /** Connections that were made since the timer ran, and before that. */
  #fresh: Socket[] = [];
  #settled: Socket[] = [];
  #settling: NodeJS.Timeout | null = null;

  constructor(here: Here, options: OfferOptions) {
    this.#here = here;
    this.#options = options;
    const ports = {
      carried,
      rest: (socket: Socket) => this.#leave(socket, 'idle'),
      again: (socket: Socket) => void this.#offer(socket),
      // Without another channel first: there may be room for none.
      shrink: (socket: Socket) => this.#leave(socket, 'resized'),
    };
    this.#demand = new Demand(ports, options.idleMs);
  }

  get sockets(): Iterable<Socket> {
    return this.#connected.keys();
  }

  /** Connections that hold channels, and that wait for one. */
  get demand(): Demand<Socket>['counts'] {
    return this.#demand.counts;
  }

  /** A socket of this process is connected. */
  connected(socket: Socket): void {
    this.#connected.set(socket, {
      retries: 0,
      timer: null,
      busy: false,
      asked: '',
      strangers: new Set(),
      left: null,
      dataBytes: this.#options.dataBytes,
      next: null,
      growAfter: 0,
    });
    socket.once('close', () => this.#closed(socket));
    this.#fresh.push(socket);
    this.#settling ??= setTimeout(() => this.#settle(), SETTLE_MS).unref();
  }

  /** A socket is on shared memory: what went before does not count. */
  attached(socket: Socket): void {
    const connecting = this.#connected.get(socket);
    if (connecting === undefined) return;
    this.#turnstile.done(socket);
    connecting.retries = 0;
    this.#demand.holds(socket, connecting.dataBytes > this.#options.dataBytes);
  }

  /** Nothing is under way with a socket any more. */
  idle(socket: Socket): void {
    const connecting = this.#connected.get(socket);
    if (connecting === undefined) return;
    this.#turnstile.done(socket);
    this.#demand.lets(socket, false);
    const { reason, link } = stateOf(socket);
    const { next, left } = connecting;
    connecting.next = null;
    connecting.left = null;
    if (next !== null) {
      if (this.#offerOn(socket, next.region, next.channel)) return;
      next.channel.close();
      void this.#offer(socket);
    } else if (reason === 'resized' && left === reason) void this.#offer(socket);
    else if (reason === 'idle' && left === reason) link?.onTraffic(() => void this.#offer(socket));
    // A peer that says so of itself would otherwise be offered it again without a pause, for as long as it says so.
    else if (passing(reason) || reason === 'resized' || reason === 'idle') this.#retry(socket, connecting);
    else if (reason === 'unknown-connection' && connecting.strangers.size < MOST_STRANGERS) {
      connecting.strangers.add(connecting.asked);
      void this.#offer(socket);
    }
  }

  /** The channel of a socket is often full. */
  pressed(socket: Socket): void {
    const connecting = this.#connected.get(socket);
    if (connecting === undefined || this.#demand.counts.waiting > 0) return;
    const wanted = Math.min(connecting.dataBytes * GROWTH, this.#options.maxDataBytes);
    if (wanted <= connecting.dataBytes || performance.now() < connecting.growAfter) return;
    void this.#resize(socket, wanted);
  }

  /** A member is here: connections to it may have a channel. */
  offerTo(member: Member): void {
    for (const socket of this.#connected.keys()) {
      const there = tupleOf(socket);
      if (there === null || stateOf(socket).path !== 'tcp') continue;
      const listening = this.#here.directory?.listenersAt(there.remoteAddress, there.remotePort) ?? [];
      if (listening.some(({ slot }) => slot === member.slot)) void this.#offer(socket);
    }
  }

  offerAll(): void {
    for (const [socket, connecting] of this.#connected) {
      connecting.retries = 0;
      connecting.strangers.clear();
      if (stateOf(socket).path === 'tcp') void this.#offer(socket);
    }
  }

  #closed(socket: Socket): void {
    const connecting = this.#connected.get(socket);
    if (connecting?.timer) clearTimeout(connecting.timer);
    connecting?.next?.channel.close();
    this.#connected.delete(socket);
    this.#demand.lets(socket, true);
    this.#turnstile.done(socket);
  }

  #settle(): void {
    const settled = this.#settled;
    this.#settled = this.#fresh;
    this.#fresh = [];
    const more = this.#settled.length > 0;
    this.#settling = more ? setTimeout(() => this.#settle(), SETTLE_MS).unref() : null;
    for (const socket of settled) void this.#offer(socket);
  }

  #leave(socket: Socket, reason: Reason): void {
    const connecting = this.#connected.get(socket);
    if (connecting !== undefined) connecting.left = reason;
    stateOf(socket).link?.session.leave(reason);
  }

  async #offer(socket: Socket): Promise<void> {
    const connecting = this.#connected.get(socket);
    if (connecting === undefined || connecting.busy || !this.#turnstile.enter(socket)) return;
    connecting.busy = true;
    try {
      const reason = await this.#tryOffer(socket, connecting);
      // A handshake that is under way ends as `attached` or `idle`.
      if (reason !== null || !this.#shaking(socket)) this.#turnstile.done(socket);
      if (reason === null || socket.destroyed) return;
      setPath(socket, 'tcp', reason);
      if (reason === 'no-channel') {
        this.#demand.waits(socket);
        return;
      }
      this.#demand.lets(socket, true);
      if (passing(reason)) this.#retry(socket, connecting);
    } finally {
      connecting.busy = false;
    }
  }

  #shaking(socket: Socket): boolean {
    const state = stateOf(socket).link?.session.state ?? 'none';
    return state !== 'none' && state !== 'shared';
  }

  /** Null when an offer was made, now or before: the session goes on with it. */
  async #tryOffer(socket: Socket, connecting: Connecting): Promise<Reason | null> {
    await this.#here.ready;
    const { region, directory } = this.#here;
    const tuple = tupleOf(socket);
    if (tuple === null || region === null) return tuple === null ? 'half-closed' : 'no-region';
    const listening = directory?.listenersAt(tuple.remoteAddress, tuple.remotePort) ?? [];
    const candidates = listening.filter((member) => !connecting.strangers.has(lifeOf(member)));
    if (candidates.length < listening.length && candidates.length === 0) {
      // All of them have said that they do not have it; one may not have accepted it yet, on a busy machine.
      connecting.strangers.clear();
      this.#retry(socket, connecting);
      return null;
    }
    connecting.dataBytes = this.#options.dataBytes;
    let reason: Reason = 'no-peer';
    for (const member of candidates.slice(0, MOST_CANDIDATES)) {
      const obstacle = obstacleOf(socket);
      // The session says by itself what becomes of what it is at.
      if (obstacle !== null) return obstacle === 'busy' ? null : obstacle;
      const channel = await this.#channelTo(region, member, socket, connecting.dataBytes);
      if (channel === null) {
        reason = 'no-channel';
        continue;
      }
      connecting.asked = lifeOf(member);
      if (this.#offerOn(socket, region, channel)) return null;
      channel.close();
      const why = obstacleOf(socket);
      return why === 'busy' ? null : why;
    }
    return reason;
  }

  /** False, and nothing happened: something is in the way. */
  #offerOn(socket: Socket, region: Region, channel: Channel): boolean {
    const tuple = tupleOf(socket);
    if (tuple === null || obstacleOf(socket) !== null) return false;
    // It, or this member, may have begun to leave since the channel was asked for.
    const there = this.#here.directory?.listenersAt(tuple.remoteAddress, tuple.remotePort) ?? [];
    if (!there.some(({ slot }) => slot === channel.peer)) return false;
    linkUnder(socket).offer(region, channel, tuple);
    return true;
  }

  /** Null: a quota, no memory, a member that left meanwhile, no server: TCP does what it did. */
  async #channelTo(
    region: Region,
    member: Member,
    socket: Socket,
    dataBytes: number,
  ): Promise<Channel | null> {
    const { remoteAddress, remotePort } = socket;
    const service = member.listeners.find(
      (each) => each === `tcp:${remotePort}` || each === `tcp:${plainAddress(remoteAddress!)}:${remotePort}`,
    );
    if (service === undefined) return null;
    const { queueSize } = this.#options;
    return region.connect(service, { peer: member.name, dataBytes, queueSize }).catch(() => null);
  }

  /** Gets a channel of another size first, then leaves the one in use, which `idle` follows. */
  async #resize(socket: Socket, dataBytes: number): Promise<void> {
    const connecting = this.#connected.get(socket)!;
    const { region, directory } = this.#here;
    const { link } = stateOf(socket);
    if (connecting.busy || connecting.next !== null || region === null || link === null) return;
    const { peer, session } = link;
    const { remoteAddress, remotePort } = socket;
    const listening = directory?.listenersAt(remoteAddress ?? '', remotePort ?? 0) ?? [];
    const member = listening.find(({ slot }) => slot === peer);
    if (member === undefined || session.state !== 'shared') return;
    connecting.busy = true;
    const channel = await this.#channelTo(region, member, socket, dataBytes);
    connecting.busy = false;
    if (channel === null) connecting.growAfter = performance.now() + GROW_AGAIN_MS;
    if (session.state !== 'shared' || link.peer !== peer || socket.destroyed) {
      channel?.close();
      // It lost the one in use meanwhile, and was not offered another.
      void this.#offer(socket);
    } else if (channel !== null) {
      connecting.dataBytes = dataBytes;
      connecting.next = { region, channel };
      this.#leave(socket, 'resized');
    }
  }

  #retry(socket: Socket, connecting: Connecting): void {
    if (connecting.timer !== null || this.#here.region === null) return;
    const often = connecting.retries >= MOST_RETRIES;
    const wait = often ? RETRY_LATER_MS : RETRY_MS << connecting.retries++;
    connecting.timer = setTimeout(() => {
      connecting.timer = null;
      const { link } = stateOf(socket);
      // A machine that was too busy for a handshake is not so for ever; a connection that carries nothing does not mind.
      if (often && link !== null) link.onTraffic(() => void this.#offer(socket));
      else void this.#offer(socket);
    }, wait).unref();
  }
}

function carried(socket: Socket): number {
  const { link } = stateOf(socket);
  if (link === null) return socket.bytesRead + socket.bytesWritten;
  return link.carried;
}
