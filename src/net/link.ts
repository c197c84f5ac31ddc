import type { Socket as TcpSocket } from 'node:net';
import type { Channel, ChannelEnd, Region } from '../channel/index.ts';
import { ChannelRing } from './channel-ring.ts';
import type { Message, Tuple } from './messages.ts';
import type { Done } from './outbound.ts';
import type { Reason } from './reasons.ts';
import { Session } from './session.ts';
import type { SessionPorts } from './session-ports.ts';
import { inTurn } from './turns.ts';
import { countWrites } from './writes.ts';

/** Whoever lost shared memory says so on TCP; if nobody does for so long after a member's death, this side does. */
const DEATH_GRACE_MS = 250;
const LINGER_MS = 5000;
/** What a peer says of its path and its end is short: more is data that nobody reads, and is answered as kernels do. */
const MOST_LAST_WORDS = 4096;
/** Bytes that a program has not read, beyond which no attachment begins. */
const MOST_UNREAD = 1 << 20;
/**
 * Beyond which TCP waits for it in any case. Never reached by a peer that keeps the rules: what it sent on TCP before its RESUME is what was
 * unread when the attachment began, what two kernels hold (Linux 6.18: 32 MiB where it is received, 4 where it is sent), and one
 * piece of a write.
 */
const MOST_READ_AHEAD = 96 << 20;

/** The socket above a link. */
export interface LinkHost {
  /** Received bytes. False: no more for now. */
  received(bytes: Uint8Array): boolean;
  receivedAll(): void;
  /** Bytes that the program has not read. */
  unread(): number;
  /** Something that was written moves: as node:net sees it, nobody is idle. */
  moves(): void;
  /** TCP is broken, with Node's own error. */
  failed(error: Error): void;
  /** The connection was found wanting and is to end as if the peer had reset it. */
  reset(): void;
  pathChanged(path: 'tcp' | 'shared-memory', reason: Reason): void;
  /** The next attachment may begin. */
  idle(): void;
  /** The channel is often full. */
  pressed(): void;
}

/** A session bound to a real TCP connection and real channels. */
export class Link implements SessionPorts {
  readonly session: Session;
  readonly tcpSocket: TcpSocket;
  readonly #host: LinkHost;
  #ring: ChannelRing | null = null;
  #timer: NodeJS.Timeout | null = null;
  #grace: NodeJS.Timeout | null = null;
  /** The host hears nothing any more. */
  #closed = false;
  #lingering = false;
  /** Bytes of the stream that came since. */
  #heard = 0;
  #full = false;
  #traffic: (() => void) | null = null;
  /** Bytes carried when #traffic was set. */
  #carried = 0;
  /** TCP has said 'close', which is later than `closed`. */
  #gone = false;
  /** A write waits: the process goes on until it is over. */
  #waits = false;
  /** What TCP had not taken when that was last looked at. */
  #queued = 0;
  /** The peer closed its end of the channel, or died, and has not said on TCP what becomes of the connection. */
  #peerWent = false;

  /** `sent` and `received`: bytes that went over this connection before. */
  constructor(tcp: TcpSocket, host: LinkHost, sent: number, received: number) {
    this.tcpSocket = tcp;
    this.#host = host;
    this.session = new Session(this);
    this.session.outbound.sent = sent;
    this.session.inbound.received = received;
    tcp.on('data', (bytes) => {
      this.session.tcp(bytes);
      this.#regulate();
      if (this.#traffic !== null) this.#tellTraffic();
    });
    tcp.on('end', () => this.session.tcpEnded());
    tcp.once('close', () => {
      this.#gone = true;
    });
    tcp.on('error', (error) => {
      if (this.#closed) return;
      this.session.tcpFailed();
      if (!this.#closed) host.failed(error);
    });
  }

  /** Slot of the member at the other end of the channel in use, or -1. */
  get peer(): number {
    return this.#ring === null || this.session.ring === null ? -1 : this.#ring.peer;
  }

  /** Null when an attachment can begin, or why not. */
  get obstacle(): Reason | null {
    return this.session.obstacle ?? (this.#host.unread() > MOST_UNREAD ? 'unread' : null);
  }

  offer(region: Region, channel: Channel, tuple: Tuple): void {
    const ring = this.#attach(region, channel, 'connector');
    this.session.offer(ring, tuple);
    ring.serve();
    this.#regulate();
  }

  /** False when the offer does not fit: the channel is the caller's still. */
  accept(region: Region, channel: Channel, offer: Extract<Message, { type: 'offer' }>): boolean {
    if (this.session.obstacle !== null) return false;
    const before = this.#ring;
    const ring = this.#attach(region, channel, 'acceptor');
    if (!this.session.accept(ring, offer)) {
      this.#ring = before;
      return false;
    }
    ring.serve();
    // The proof comes behind what TCP still has, whether the program wants that or not.
    this.#regulate();
    return true;
  }

  /** Bytes of the stream that went over this connection, both ways, on whichever path. */
  get carried(): number {
    return this.session.inbound.received + this.session.outbound.sent;
  }

  /** Calls back once, in another turn of the loop, when the next bytes of the stream go over TCP, either way. */
  onTraffic(callback: () => void): void {
    this.#traffic = callback;
    this.#carried = this.carried;
  }

  /** The program has room for more. */
  readMore(): void {
    this.#full = false;
    this.#regulate();
  }

  /** Whether TCP took some of what waits for it since this was last asked. */
  tcpMoves(): boolean {
    const { _handle: handle } = this.tcpSocket as unknown as { _handle: { writeQueueSize: number } | null };
    const queued = handle?.writeQueueSize ?? 0;
    const moves = queued > 0 && queued !== this.#queued;
    this.#queued = queued;
    return moves;
  }

  /** The device behind the region in use is gone: nobody else will say so. */
  deviceGone(): void {
    this.session.ringEnded();
  }

  /** Ends all at once. */
  close(): void {
    this.#leaveHost();
    this.session.close();
  }

  /** Ends all at once, and calls back when TCP is closed and nobody waits for a write to be done any more. */
  closeThen(callback: () => void): void {
    this.close();
    const gone = (): void => {
      // Node calls that no error.
      this.session.outbound.fail(null);
      callback();
    };
    if (this.#gone) setImmediate(gone);
    else this.tcpSocket.once('close', gone);
  }

  /**
   * The program is done with the connection, which goes on until the peer has what was sent: bytes in shared memory may be asked for
   * again on TCP, as the kernel's buffer would be. False: not so, close it.
   */
  linger(): boolean {
    const { session, tcpSocket } = this;
    const { outbound } = session;
    if (this.#closed || outbound.mode !== 'framed' || tcpSocket.destroyed || !tcpSocket.writable)
      return false;
    if (!outbound.finished) {
      if (outbound.busy) return false;
      // The peer hears where the stream ends.
      outbound.fin(() => {});
    }
    if (tcpSocket.readableEnded || !session.framed) return false;
    this.#leaveHost();
    this.#lingering = true;
    tcpSocket.once('close', () => session.close());
    tcpSocket.resume().unref();
    outbound.whenTaken(() => this.#lastWords());
    return true;
  }

  /** TCP stays until the peer ends it too, or for a moment: its own end may be on its way, and a closed socket answers with a reset. */
  #lastWords(): void {
    const { session, tcpSocket } = this;
    session.close();
    tcpSocket.removeAllListeners('data');
    tcpSocket.on('data', ({ length }) => this.#unwanted(length));
    tcpSocket.resume().end();
    if (tcpSocket.readableEnded) {
      tcpSocket.destroy();
      return;
    }
    const timer = setTimeout(() => tcpSocket.destroy(), LINGER_MS).unref();
    tcpSocket.once('end', () => tcpSocket.destroy());
    tcpSocket.once('close', () => clearTimeout(timer));
  }

  /** What comes when nobody reads any more. */
  #unwanted(bytes: number): void {
    this.#heard += bytes;
    if (this.#heard > MOST_LAST_WORDS) this.resetTcp();
  }

  /**
   * While the shutdown of a handle is under way, libuv refuses to reset it and Node takes it for closed nevertheless: the descriptor would
   * stay open, and the process would never end. What the peer still writes is answered with a reset by the kernel then.
   */
  resetTcp(): void {
    const tcp = this.tcpSocket;
    if (tcp.writableEnded && !tcp.writableFinished) tcp.destroy();
    else tcp.resetAndDestroy();
  }

  #leaveHost(): void {
    this.#closed = true;
    if (this.#grace !== null) clearTimeout(this.#grace);
  }

  // What follows is called by the session.

  tcp(parts: readonly Uint8Array[], done: (() => void) | null): void {
    const tcp = this.tcpSocket;
    const last = parts.length - 1;
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    let taken = false;
    if (last > 0) tcp.cork();
    parts.forEach((part, i) => {
      // An error destroys the socket and is told there, too.
      if (i === last && done !== null) tcp.write(part, (error) => taken || this.#written(bytes, done, error));
      else tcp.write(part);
    });
    if (last > 0) tcp.uncork();
    // As node:net: what the kernel takes at once is done at once, and a program that goes wrong then does not take it back.
    taken = done !== null && tcp.writable && tcp.writableLength === 0;
    if (taken) this.#written(bytes, done!, null);
    if (this.#traffic !== null) this.#tellTraffic();
  }

  shutdown(done: () => void): void {
    this.tcpSocket.end(done);
  }

  waits(more: boolean): void {
    if (more !== this.#waits) countWrites(more ? 1 : -1);
    this.#waits = more;
    if (!this.#closed) this.#host.moves();
  }

  deliver(bytes: Uint8Array): boolean {
    if (this.#lingering) this.#unwanted(bytes.length);
    if (this.#closed) return true;
    const more = this.#host.received(bytes);
    if (!more) this.#full = true;
    return more;
  }

  end(): void {
    if (!this.#closed) this.#host.receivedAll();
  }

  reset(_why: string): void {
    if (this.#lingering) this.resetTcp();
    else this.#host.reset();
  }

  changed(path: 'tcp' | 'shared-memory', reason: Reason): void {
    if (this.#closed) return;
    this.#host.pathChanged(path, reason);
    this.#regulate();
  }

  idle(): void {
    if (this.#closed) return;
    // It has said it.
    this.#peerWent = false;
    this.#host.idle();
    this.#regulate();
  }

  deadline(ms: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = ms === 0 ? null : setTimeout(() => this.session.expired(), ms).unref();
  }

  #attach(region: Region, channel: Channel, side: 'connector' | 'acceptor'): ChannelRing {
    const ring = new ChannelRing(region, channel, this.session, side, () => this.#host.pressed());
    ring.watch((end) => this.#ended(ring, end));
    this.#ring = ring;
    this.#peerWent = false;
    return ring;
  }

  #written(bytes: number, done: Done, error: Error | null | undefined): void {
    if (error || this.#closed) {
      // Of a socket that is closed Node says nothing wrong, as above.
      done(this.#closed ? null : error);
      return;
    }
    this.#host.moves();
    inTurn(bytes, done);
  }

  #tellTraffic(): void {
    if (this.carried === this.#carried) return;
    const told = this.#traffic;
    this.#traffic = null;
    if (told !== null && !this.#closed) setImmediate(told);
  }

  /**
   * Reads as much as the program wants; and TCP even when it wants nothing, while what becomes of the connection is said there: a
   * program that waits to write before it reads would wait for ever.
   */
  #regulate(): void {
    if (this.#closed) return;
    const { state } = this.session;
    const listening = this.#peerWent || (state !== 'none' && state !== 'shared');
    const stop = this.#full && !(listening && this.#host.unread() < MOST_READ_AHEAD);
    if (stop !== this.tcpSocket.isPaused()) {
      if (stop) this.tcpSocket.pause();
      else this.tcpSocket.resume();
    }
    if (this.#full || this.session.inbound.aheadBytes > 0 || this.session.ring === null) return;
    this.#ring?.serve();
  }

  #ended(ring: ChannelRing, end: ChannelEnd): void {
    const { session } = this;
    if (session.ring !== ring) return;
    const peerWent = end === 'closed' || end === 'died';
    // What it sent before is still there.
    if (peerWent) ring.drain();
    if (session.ring !== ring) return;
    // Whoever closes it in the middle of a handshake has nothing to say on TCP.
    const using = session.state === 'shared' || (session.state === 'proving' && end === 'died');
    if (!peerWent || !using) {
      session.ringEnded();
      return;
    }
    this.#peerWent = true;
    this.#regulate();
    // It says on TCP what becomes of the connection: RESUME, FIN, or the kernel's word that it is dead.
    if (end === 'died') {
      this.#grace = setTimeout(() => {
        if (session.ring === ring) session.ringEnded();
      }, DEATH_GRACE_MS).unref();
    }
  }
}
