import type { Channel, Region } from '../channel/index.ts';
import type { Membership } from '../membership/index.ts';
import { type Directory, lifeOf, plainAddress } from './directory.ts';
import { decode, encode, type Message, type Tuple } from './messages.ts';
import { type Reason, reasonNumber } from './reasons.ts';
import { linkUnder, obstacleOf, type Socket, tupleOf } from './socket.ts';

type Offer = Extract<Message, { type: 'offer' }>;

/** An offer can overtake the event that its connection was accepted. */
const ACCEPT_WAIT_MS = 500;
/** A channel on which nothing was offered is closed after so long. */
const OFFER_WAIT_MS = 5000;
/** For a member that offered so many connections that nobody has, nothing is waited for any more. */
const MOST_UNKNOWN = 256;

interface Waiting {
  readonly region: Region;
  readonly channel: Channel;
  readonly offer: Offer;
  readonly timer: NodeJS.Timeout;
}

/** Who is where, as of now. */
export interface Place {
  readonly members: Membership | null;
  readonly directory: Directory | null;
}

/** The acceptor's part: sockets that were accepted, and what others offer for them. */
export class Answers {
  readonly #place: Place;
  /** By their connection; and offers for such as will be accepted. */
  readonly #accepted = new Map<string, Socket>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #unknown = new Map<string, number>();

  constructor(place: Place) {
    this.#place = place;
  }

  get sockets(): Iterable<Socket> {
    return this.#accepted.values();
  }

  /** A listener of this process accepted a connection. */
  accepted(socket: Socket): void {
    const tuple = tupleOf(socket);
    if (tuple === null) return;
    const key = keyOf(tuple);
    this.#accepted.set(key, socket);
    socket.once('close', () => {
      if (this.#accepted.get(key) === socket) this.#accepted.delete(key);
    });
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) this.#answer(key, waiting, socket);
  }

  /** One life of a member is over, or all are: what it did is forgotten. */
  forget(life?: string): void {
    if (life === undefined) this.#unknown.clear();
    else this.#unknown.delete(life);
  }

  /** Takes the first message of a channel, which names a connection. */
  async hear(region: Region, channel: Channel): Promise<void> {
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
    if (reason !== null) decline(channel, reason);
  }

  #examine(region: Region, channel: Channel, offer: Offer): Reason | null {
    const { tuple } = offer;
    const { members, directory } = this.#place;
    if (members?.self?.state === 'leaving') return 'leaving';
    const member = members?.get(channel.peer);
    // Its channel can be here before the view in which it joins.
    if (!member) return 'busy';
    if (!directory?.owns(channel.peer, tuple.localAddress)) return 'foreign-address';
    const known = lifeOf(member);
    const key = keyOf(turned(tuple));
    const often = (this.#unknown.get(known) ?? 0) > MOST_UNKNOWN;
    if (often && !this.#accepted.has(key)) return 'unknown-connection';
    if (this.#waiting.has(key)) return 'busy';
    const timer = setTimeout(() => {
      this.#waiting.delete(key);
      this.#unknown.set(known, (this.#unknown.get(known) ?? 0) + 1);
      decline(channel, 'unknown-connection');
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
    if (obstacle !== null) decline(channel, obstacle);
    else if (!linkUnder(socket).accept(region, channel, offer)) decline(channel, 'busy');
  }
}

function decline(channel: Channel, reason: Reason): void {
  if (channel.end === null) channel.send(encode.decline(reasonNumber(reason)));
  channel.close();
}

/** A connection as its acceptor sees it. */
const keyOf = ({ localAddress, localPort, remoteAddress, remotePort }: Tuple): string =>
  `${plainAddress(localAddress)} ${localPort} ${plainAddress(remoteAddress)} ${remotePort}`;

const turned = (tuple: Tuple): Tuple => ({
  localAddress: tuple.remoteAddress,
  localPort: tuple.remotePort,
  remoteAddress: tuple.localAddress,
  remotePort: tuple.localPort,
});
