import { frame } from './frames.ts';
import { Inbound } from './inbound.ts';
import { encode, type Message, type Tuple } from './messages.ts';
import { type Done, Outbound } from './outbound.ts';
import { newNonce, type Proofs, proofsOf, sameProof } from './proof.ts';
import { type Reason, reasonNumber, reasonOf } from './reasons.ts';
import { DEADLINE_MS, type Ring, type SessionPorts, type SessionState } from './session-ports.ts';

const EPOCHS = 0x10000;

/**
 * One connection between two participants: two directions, and at most one attachment to a channel at a time. No sockets in
 * here: bytes and messages come in as calls, and go out through ports.
 */
export class Session {
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  state: SessionState = 'none';
  /** Counts attachments. */
  epoch = 0;
  ring: Ring | null = null;
  readonly #ports: SessionPorts;
  #nonce: Uint8Array = new Uint8Array(0);
  #proofs: Proofs | null = null;
  /** The connector's proof of an attachment that was given up while the acceptor's may be on its way. */
  #late: Uint8Array | null = null;
  /** A proof in a frame that overtook the ACCEPT on the channel. */
  #early: Uint8Array | null = null;
  /** The last attachments for which RESUME was sent, and came. */
  #resumeSent = -1;
  #resumeGot = -1;
  #reason: Reason = 'none';
  /** A FIN that waits until it is clear whether the direction will be framed. */
  #fin: (() => void) | null = null;
  /** Set once the connection is over: nothing moves any more. */
  #over = false;

  constructor(ports: SessionPorts) {
    this.#ports = ports;
    this.outbound = new Outbound(ports);
    this.inbound = new Inbound({
      deliver: (bytes) => ports.deliver(bytes),
      end: () => ports.end(),
      proven: () => this.#proven(),
      forged: () => this.#forged(),
      resume: (epoch, received) => this.#resume(epoch, received),
      proof: (epoch, proof) => this.#proofFrame(epoch, proof),
    });
  }

  get framed(): boolean {
    return this.inbound.mode === 'framed' && this.outbound.mode === 'framed';
  }

  /** Null when an attachment can begin, or why not. */
  get obstacle(): Reason | null {
    if (this.#over || this.state !== 'none' || this.outbound.path === 'held') return 'busy';
    if (this.framed) return this.inbound.ended && this.outbound.finished ? 'half-closed' : null;
    if (this.inbound.ended || this.outbound.finished || this.#fin !== null) return 'half-closed';
    const raw = this.inbound.mode === 'raw' || this.inbound.mode === 'armed';
    return raw && this.outbound.mode === 'raw' ? null : 'not-proven';
  }

  /** The connector begins. */
  offer(ring: Ring, tuple: Tuple): void {
    this.#begin(ring, (this.epoch + 1) % EPOCHS, 'offered');
    this.#say(encode.offer(this.epoch, this.framed, this.#nonce, tuple));
    this.#ports.deadline(DEADLINE_MS.answer);
  }

  /** The acceptor goes along with an offer; `obstacle` was null. False, and nothing happened: it does not fit the connection. */
  accept(ring: Ring, offer: Extract<Message, { type: 'offer' }>): boolean {
    if (offer.framed !== this.framed || offer.epoch === this.epoch) return false;
    this.#begin(ring, offer.epoch, 'accepted');
    this.#proofs = proofsOf(offer.nonce, this.#nonce, ring.binding);
    const framed = this.framed;
    const offset = framed ? 0 : this.outbound.stall();
    this.#ports.deadline(DEADLINE_MS.stall);
    if (!this.#say(encode.accept(this.epoch, this.#nonce, offset)) || !framed) return true;
    this.#ports.deadline(DEADLINE_MS.proof);
    this.outbound.control(frame.proof(this.epoch, this.#proofs.acceptor));
    return true;
  }

  write(parts: readonly Uint8Array[], owned: boolean, done: Done): void {
    this.outbound.write(parts, owned, done);
  }

  /** Ends what is sent. In the middle of a first handshake it waits: an ended direction could not prove anything. */
  fin(done: () => void): void {
    const open = this.state === 'offered' || this.inbound.mode === 'armed';
    if (this.outbound.mode !== 'raw' || !open) {
      this.outbound.fin(done);
      return;
    }
    this.#fin = done;
    this.#ports.deadline(DEADLINE_MS.fin);
  }

  /** Bytes from TCP. False: no more for now. */
  tcp(bytes: Uint8Array): boolean {
    const more = this.inbound.tcp(bytes);
    this.#check();
    return more;
  }

  /** TCP ended. In a framed direction that says that nobody is there any more: an end alone is said in a frame. */
  tcpEnded(): void {
    if (this.inbound.mode !== 'framed') {
      this.inbound.tcpEnded();
      if (this.#over) return;
      // The connector ended and gave no proof: there will be none. Behind ours, our direction is framed.
      if (this.state === 'accepted') this.abandon('half-closed');
      else if (this.state === 'proved') {
        this.#closeRing();
        this.#reason = 'half-closed';
        this.#settle();
      }
      return;
    }
    if (!this.inbound.ended) this.ring?.drain();
    if (this.#over) return;
    // A process that ended without a word: what it sent is all here, or it is not.
    if (!this.inbound.ended && (this.state === 'resuming' || !this.inbound.endHere())) {
      this.#reset('the peer is gone, and bytes it sent with it');
      return;
    }
    if (this.#over) return;
    // Whoever still writes shall hear from the kernel what comes of it.
    this.#closeRing();
    this.state = 'none';
    this.#ports.deadline(0);
    if (this.outbound.path !== 'tcp') this.outbound.resumed(this.outbound.sent);
  }

  /** TCP is broken: what the peer placed before that is here nevertheless. */
  tcpFailed(): void {
    if (this.state === 'shared' && !this.inbound.ended) this.ring?.drain();
  }

  /** A message of the channel, as a private copy; null when it made no sense. False: no more for now. */
  message(message: Message | null): boolean {
    if (this.ring === null || this.#over) return false;
    if (message?.type === 'data' && this.state === 'shared') return this.#data(message);
    this.#handshake(message);
    return true;
  }

  /** The channel ended, and what could be read of it was handed over. */
  ringEnded(): void {
    if (this.ring !== null) this.abandon('channel-lost');
  }

  /** Room for the program, or for messages, may be there again. */
  room(): void {
    if (!this.#over) this.outbound.room();
  }

  /** Shared memory shall not be used any more, for a reason of this side. */
  leave(reason: Reason): void {
    if (this.ring === null) return;
    if (this.state === 'shared') {
      this.ring.drain();
      // The peer's own word of leaving may have been in it.
      if (this.ring === null) return;
      // So that the peer knows why; when there is no room for it, that is all the peer lacks.
      if (reason !== 'channel-lost') this.ring.say(encode.decline(reasonNumber(reason)));
    }
    this.abandon(reason);
  }

  expired(): void {
    if (this.#over) return;
    if (this.state === 'proved') this.#reset('the peer took a proof and gave none');
    else if (this.state === 'none') this.#releaseFin();
    else if (this.state !== 'shared' && this.state !== 'resuming') this.leave('timeout');
  }

  /** The connection is over. */
  close(): void {
    this.#over = true;
    this.#ports.deadline(0);
    this.#closeRing();
  }

  /** Gives up the attachment under way, or ends the one there is. */
  abandon(reason: Reason): void {
    const { state } = this;
    if (this.#over) return;
    this.#closeRing();
    this.#reason = reason;
    if (state === 'shared' || state === 'proving') {
      this.#startResume();
      return;
    }
    // Behind our proof the peer's must come: he has seen ours, or nobody has.
    if (state === 'proved') return;
    if (state === 'armed' && this.inbound.mode === 'armed') this.#late = this.#proofs!.connector;
    this.#settle();
  }

  #begin(ring: Ring, epoch: number, state: SessionState): void {
    this.ring = ring;
    this.epoch = epoch;
    this.state = state;
    this.#nonce = newNonce();
    this.#proofs = null;
    this.#early = null;
    if (this.#resumeSent === epoch) this.#resumeSent = -1;
    if (this.#resumeGot === epoch) this.#resumeGot = -1;
  }

  #say(message: Uint8Array): boolean {
    if (this.ring?.say(message) === true) return true;
    this.ringEnded();
    return false;
  }

  #handshake(message: Message | null): void {
    const expected = message === null ? '' : `${this.state}: ${message.type}`;
    if (message?.type === 'decline') {
      this.abandon(reasonOf(message.reason));
      return;
    }
    if (message?.type === 'accept' && expected === 'offered: accept') {
      this.#accepted(message);
      return;
    }
    if (expected === 'accepted: armed' && !this.framed) {
      this.outbound.prove(this.#proofs!.acceptor);
      this.state = 'proved';
      this.inbound.scan(this.#proofs!.connector);
      this.#ports.deadline(DEADLINE_MS.proof);
    } else if (expected === 'proving: ready') this.#share();
    else this.#fault();
  }

  #accepted({ epoch, nonce, offset }: Extract<Message, { type: 'accept' }>): void {
    if (epoch !== this.epoch) {
      this.#fault();
      return;
    }
    this.#proofs = proofsOf(this.#nonce, nonce, this.ring!.binding);
    const { framed } = this;
    if (!framed && !this.inbound.arm(offset, this.#proofs.acceptor)) {
      this.#fault();
      return;
    }
    this.#late = null;
    this.state = 'armed';
    this.#ports.deadline(this.#fin === null ? DEADLINE_MS.proof : DEADLINE_MS.fin);
    if (!framed) this.#say(encode.armed());
    else if (this.#early !== null) this.#proofFrame(epoch, this.#early);
  }

  /** The peer's first proof stood in TCP where it should. */
  #proven(): void {
    if (this.state === 'proved') {
      // The channel may be gone by now: then all is as after a resumption.
      if (this.ring !== null) this.#ready();
      else this.#settle();
    } else if (this.state === 'armed') {
      this.state = 'proving';
      this.#ports.deadline(DEADLINE_MS.proof);
      this.#prove(this.#proofs!.connector);
    } else if (this.#late !== null) {
      // Behind an end there is no proof; the peer sees that.
      if (this.outbound.finished) this.#late = null;
      else this.#prove(this.#late);
    }
  }

  #prove(proof: Uint8Array): void {
    this.#late = null;
    this.outbound.prove(proof);
    this.#releaseFin();
  }

  #forged(): void {
    this.#late = null;
    if (this.state === 'armed') this.abandon('not-proven');
    else this.#releaseFin();
  }

  /** A proof in a framed direction. */
  #proofFrame(epoch: number, proof: Uint8Array): void {
    // Of an attachment that was given up here; the peer hears of that by itself.
    if (epoch !== this.epoch || this.ring === null) return;
    if (this.state === 'offered') this.#early = proof;
    const connector = this.state === 'armed';
    if ((!connector && this.state !== 'accepted') || this.#proofs === null) return;
    if (!sameProof(proof, connector ? this.#proofs.acceptor : this.#proofs.connector)) {
      this.abandon('not-proven');
      return;
    }
    if (!connector) {
      this.#ready();
      return;
    }
    this.state = 'proving';
    this.#ports.deadline(DEADLINE_MS.proof);
    this.outbound.control(frame.proof(this.epoch, this.#proofs.connector));
  }

  #ready(): void {
    this.state = 'proving';
    if (this.#say(encode.ready())) this.#share();
  }

  #share(): void {
    this.state = 'shared';
    this.#ports.deadline(0);
    const ring = this.ring!;
    this.outbound.attach(ring);
    if (this.ring === ring) this.#ports.changed('shared-memory', 'none');
  }

  #data({ offset, bytes }: Extract<Message, { type: 'data' }>): boolean {
    const more = this.inbound.ring(offset, bytes, 3 * this.ring!.capacity);
    this.#check();
    return more && this.inbound.aheadBytes === 0;
  }

  /** The peer says on the channel what nobody says: the connection goes on without the channel. */
  #fault(): void {
    this.abandon('peer-fault');
  }

  #startResume(): void {
    this.state = 'resuming';
    this.#ports.deadline(0);
    this.outbound.lost();
    this.#ports.changed('tcp', this.#reason);
    this.#sendResume();
  }

  #sendResume(epoch = this.epoch): void {
    this.#resumeSent = epoch;
    this.outbound.control(frame.resume(epoch, this.inbound.received));
  }

  #resume(epoch: number, received: number): void {
    const age = (this.epoch - epoch + EPOCHS) % EPOCHS;
    const waiting = this.state === 'none' || this.state === 'offered';
    if (age >= EPOCHS / 2 || this.#resumeGot === epoch || this.outbound.mode !== 'framed') {
      this.#reset('the peer resumes what it never had');
      return;
    }
    if (age !== 0 && !waiting) return;
    this.#resumeGot = epoch;
    if (this.state === 'shared' || this.state === 'proving') this.leave('channel-lost');
    // An attachment that came about there only: its proof was on its way when it was given up here.
    else if (this.#resumeSent !== epoch) this.#sendResume(epoch);
    if (this.#over) return;
    if (!this.outbound.resumed(received)) {
      this.#reset('the peer has what was never sent');
      return;
    }
    if (age === 0) {
      this.#closeRing();
      this.#settle();
    }
  }

  /** Nothing is under way any more. */
  #settle(): void {
    const { state } = this;
    this.state = 'none';
    this.#proofs = null;
    this.#ports.deadline(0);
    this.outbound.unstall();
    if (this.#fin !== null && this.inbound.mode === 'armed') this.#ports.deadline(DEADLINE_MS.fin);
    else this.#releaseFin();
    if (state !== 'resuming') this.#ports.changed('tcp', this.#reason);
    this.#ports.idle();
  }

  #releaseFin(): void {
    const fin = this.#fin;
    this.#fin = null;
    if (fin !== null) this.outbound.fin(fin);
  }

  #closeRing(): void {
    const { ring } = this;
    this.ring = null;
    ring?.close();
  }

  #check(): void {
    if (this.inbound.fault !== null) this.#reset(this.inbound.fault);
  }

  #reset(why: string): void {
    if (this.#over) return;
    this.close();
    this.#ports.reset(why);
  }
}
