import { randomInt } from 'node:crypto';
import { forEveryone } from '../errors/for-everyone.ts';
import { IvshmemError, isIvshmemError } from '../errors/index.ts';
import { type RegionHeader, readHeader } from '../memory/header.ts';
import {
  CONTROL_BIT,
  HEADER_W,
  MEMBER_W,
  NAME_BYTES,
  PAGE_BYTES,
  SERVER_SLOT,
  type SocketCounts,
} from '../memory/layout.ts';
import {
  BACKENDS,
  type MembershipPlace,
  membershipPlace,
  REASON_CLOSED,
  REASON_UNPLUGGED,
  REASONS,
} from '../memory/membership.ts';
import { isName } from '../memory/names.ts';
import { collect, post } from '../memory/pending.ts';
import { binding, type LoopWaiter } from '../native/binding.ts';
import { ControlClient } from './control.ts';
import type { RegionDevice } from './device.ts';
import { publish } from './diagnostics.ts';
import { addMortal, type Mortal, removeMortal } from './exit-hook.ts';
import type { LeaveReason } from './member.ts';
import { looksSuspect, Pulse, type Statistics } from './pulse.ts';
import { RingAgain } from './ring-again.ts';
import { adaptive, type WaitStrategy } from './wait.ts';
import { learnWakeUp } from './wake-up.ts';

export interface AttachmentOptions {
  readonly name: string;
  readonly wait?: WaitStrategy;
}

/** Who is told of marks in this member's block. What these throw leaves the loop after everybody was served. */
export interface Marks {
  channel(number: number): void;
  /** The server has something: channel events, a view. A reply was collected before. */
  control(): void;
  /** What was carried until now: asked for by a pulse only. */
  traffic(): Traffic;
}

/** Counts over all channels of this member's life. */
export type Traffic = Pick<
  Statistics,
  'messagesSent' | 'bytesSent' | 'messagesReceived' | 'bytesReceived' | 'channelsOpened' | 'channelsEnded'
> &
  SocketCounts;

const POLL_MS = 1;
const NOTIFY_VECTOR = 0;

/** A member's presence in a region: its slot, its mailbox to the server, and the one place where it waits. */
export class Attachment implements Mortal {
  readonly header: RegionHeader;
  readonly name: string;
  /** This member's slot: its peer ID on the device. */
  readonly slot: number;
  readonly device: RegionDevice;
  /** The memory, or no more of it than its tables (RegionDevice.tables). */
  readonly tables: ArrayBuffer;
  /** Header and tables: everything before the heap. */
  readonly words: Int32Array;
  /** Word index of this member's block. */
  readonly base: number;
  readonly control: ControlClient;
  /** Null in a region whose layout has no membership part. */
  readonly place: MembershipPlace | null;
  /** Names this life of the driver: random, never 0. */
  readonly generation = randomInt(1, 2 ** 31);
  /** The eventfd of this member's doorbell, which the loop drains; -1 on a device that is polled. */
  readonly bell: number;
  readonly #pulse: Pulse;
  readonly #marks: Marks;
  readonly #waiter: LoopWaiter;
  readonly #ringAgain: RingAgain;
  readonly #visit = (index: number): void => this.#serve(index);
  #waiters = 0;
  #doorbellsRung = 0;
  /** HELLO was sent and not refused, and neither GOODBYE nor an obituary has told the end. */
  #living = false;
  #joined = false;
  #faults: unknown[] = [];
  #state: 'open' | 'closing' | 'closed' = 'open';
  #removedListeners: ((error: IvshmemError) => void)[] = [];
  #shutListeners: (() => void)[] = [];
  readonly #controlListeners = new Set<() => void>();

  /** Takes ownership of the device unless it throws; a HELLO makes it a member. */
  constructor(device: RegionDevice, options: AttachmentOptions, marks: Marks) {
    this.tables = device.tables ?? device.memory;
    this.header = readHeader(this.tables, device.memoryBytes ?? this.tables.byteLength);
    this.device = device;
    this.name = options.name;
    this.slot = device.ivPosition;
    this.#marks = marks;
    if (this.slot <= SERVER_SLOT || this.slot >= this.header.slots) {
      const why = `peer ID ${this.slot} has no slot in a region of ${this.header.slots}`;
      throw new IvshmemError('ERR_IVSHMEM_REFUSED', {
        operation: 'join',
        on: device.on,
        why,
        hint: 'Use the ivshmem server of this package.',
      });
    }
    this.words = new Int32Array(this.tables, 0, (this.header.heapPage * PAGE_BYTES) / 4);
    this.base = this.memberBase(this.slot);
    this.#ringAgain = new RingAgain(
      this.words,
      (slot) => this.memberBase(slot),
      (slot) => this.#ring(slot),
    );
    this.bell = device.vectors > 0 ? device.takeVector(NOTIFY_VECTOR) : -1;
    this.#waiter = this.#createWaiter(options.wait ?? adaptive);
    this.place = membershipPlace(this.header);
    this.#pulse = new Pulse(this.words, this.base);
    const notifyServer = (again: boolean): void => {
      this.notify(SERVER_SLOT, this.slot);
      if (again) this.#ring(SERVER_SLOT);
    };
    this.control = new ControlClient(this.words, this.base, device.on, notifyServer, (change) =>
      this.wait(change),
    );
    // A channel's end must be heard of even while nobody waits for messages; unref'ed, this keeps nothing alive.
    if (device.vectors > 0) this.#waiter.start();
    device.onRemoving?.(() => this.#obituary(REASON_UNPLUGGED));
    device.onRemoved(() => this.#removed());
  }

  /** Refuses a name no member can have. */
  static checkName(name: string): void {
    if (!isName(name, NAME_BYTES)) {
      const params = { name: JSON.stringify(name), what: 'member', bytes: NAME_BYTES };
      throw new IvshmemError('ERR_IVSHMEM_NAME', params);
    }
  }

  get state(): 'open' | 'closing' | 'closed' {
    return this.#state;
  }

  /**
   * Becomes a member of the region, with a description (encodeDescription). Whatever ends this life from now on, the server will
   * hear of it.
   */
  async hello(draft: Uint8Array): Promise<void> {
    const { device, slot, generation } = this;
    const backend = BACKENDS.indexOf(device.kind ?? 'unknown');
    // Until it is refused the server may take it, also when nobody is left to hear the answer.
    this.#living = true;
    addMortal(this);
    try {
      await this.control.hello(this.name, generation, backend, draft);
    } catch (error) {
      if (isIvshmemError(error, 'ERR_IVSHMEM_REFUSED')) this.#living = false;
      throw error;
    }
    // The device may have gone meanwhile, or close() may have been called.
    this.check('join');
    this.#joined = true;
    const obituaryOffset = (this.base + MEMBER_W.obituary) * 4;
    const serverBlockOffset = this.memberBase(SERVER_SLOT) * 4;
    device.guard?.({ slot, generation, obituaryOffset, serverBlockOffset });
    // Between processes of one host the strategy's own figure is right.
    if (device.kind !== 'host' && device.vectors > 0) learnWakeUp(this.#waiter, () => this.#ringSelf());
    publish('region.join', () => this.#about());
  }

  /** Says goodbye and lets go of everything. Call leaving() first. `reason`: what the others are told. */
  async goodbye(reason: LeaveReason): Promise<void> {
    const number = REASONS.indexOf(reason);
    try {
      if (await this.control.goodbye(number)) this.#living = false;
    } catch (error) {
      // Refused: the server has put us out before, and closing is still what it says.
      if (!isIvshmemError(error, 'ERR_IVSHMEM_REFUSED')) throw error;
      this.#living = false;
    } finally {
      // A server that is away now finds it when it is back.
      this.#obituary(number);
      this.shut();
    }
  }

  /** Begins to leave; false when that began before. */
  leaving(): boolean {
    if (this.#state !== 'open') return false;
    this.#state = 'closing';
    return true;
  }

  /** The process exits without having closed the region. */
  dying(): void {
    this.#obituary(REASON_CLOSED);
  }

  /** Lets go of everything without asking the server for anything. Idempotent. */
  shut(): void {
    if (this.#state === 'closed') return;
    this.#obituary(REASON_CLOSED);
    this.#state = 'closed';
    // Also requests behind the goodbye: they would wait for their deadline, and ring with a memory that is gone.
    this.control.abandon(this.#closedError('wait for the server'));
    if (this.#joined) publish('region.leave', () => this.#about());
    this.#ringAgain.close();
    this.#waiter.close();
    try {
      forEveryone(this.#shutListeners.splice(0), (callback) => callback());
    } finally {
      this.device.close();
    }
  }

  /** Calls back once when the device is unplugged, before shut(). */
  onRemoved(callback: (error: IvshmemError) => void): void {
    this.#removedListeners.push(callback);
  }

  /** Calls back once when the attachment ends, however it ends. */
  onShut(callback: () => void): void {
    this.#shutListeners.push(callback);
  }

  /** Calls back whenever the control bit was set, after the region had its look. Returns how to stop. */
  onControl(callback: () => void): () => void {
    this.#controlListeners.add(callback);
    return () => void this.#controlListeners.delete(callback);
  }

  /** ERR_IVSHMEM_CLOSED unless this member is there. */
  check(operation: string): void {
    if (this.#state !== 'open') throw this.#closedError(operation);
  }

  /** [spins that found work, sleeps, bells, spurious bells] of the waiter. */
  waitStatistics(): number[] {
    return this.#waiter.statistics();
  }

  /** What this member counted since it joined. ERR_IVSHMEM_CLOSED once it has left. */
  statistics(): Statistics {
    if (this.#state === 'closed') throw this.#closedError('count');
    const [spins, sleeps, doorbellsTaken, doorbellsSpurious] = this.#waiter.statistics();
    const doorbellsRung = this.#doorbellsRung;
    return {
      ...this.#marks.traffic(),
      ...{ doorbellsRung, doorbellsTaken, doorbellsSpurious, sleeps, spins },
    };
  }

  /** Word index of a slot's member block. */
  memberBase(slot: number): number {
    return ((this.header.memberPage + slot) * PAGE_BYTES) / 4;
  }

  /** Serves every mark; the exceptions of handlers leave only after everyone was served. */
  poll(): void {
    if (this.#state === 'closed') return;
    // All ones is what a load returns that no device answers, and what no header begins with.
    if (this.words[HEADER_W.magic0] === -1 && this.device.lost?.()) return;
    collect(this.words, this.base, this.#visit);
    if (this.#faults.length > 0) {
      const [first] = this.#faults;
      this.#faults = [];
      throw first;
    }
  }

  /** Marks `index` in another member's block (or our slot in the server's), and rings if that one sleeps. */
  notify(slot: number, index: number): void {
    if (this.#state === 'closed') return;
    if (slot >= this.header.slots) return;
    if (post(this.words, this.memberBase(slot), index)) {
      this.#ring(slot);
      this.#ringAgain.remember(slot, index);
    }
  }

  /** Has another member look at its control bit, and rings also if its loop does not sleep: its threads may. */
  alert(slot: number): void {
    if (this.#state === 'closed' || slot >= this.header.slots) return;
    post(this.words, this.memberBase(slot), CONTROL_BIT);
    this.#ring(slot);
  }

  /** Marks a channel in our own block: the loop comes back to it after the others. */
  postSelf(index: number): void {
    post(this.words, this.base, index);
  }

  /** Whoever waits keeps the process alive. */
  wait(change: 1 | -1): void {
    const before = this.#waiters > 0;
    this.#waiters += change;
    const now = this.#waiters > 0;
    if (this.#state === 'closed' || now === before) return;
    if (now) this.#waiter.ref();
    else this.#waiter.unref();
    if (this.device.vectors > 0) return;
    // Without interrupts waiting means polling, which only happens while somebody waits.
    if (now) this.#waiter.start();
    else this.#waiter.stop();
  }

  /** A request whose answer nobody waits for: its failure means the server is gone, which the process is told. */
  background(request: Promise<void>): void {
    request.catch((error: unknown) => {
      if (
        this.#state === 'open' &&
        !(error instanceof IvshmemError && error.code === 'ERR_IVSHMEM_REFUSED')
      ) {
        process.emitWarning(error as Error);
      }
    });
  }

  #closedError(operation: string): IvshmemError {
    return new IvshmemError('ERR_IVSHMEM_CLOSED', { operation, on: `the region ${this.device.on}` });
  }

  #createWaiter(wait: WaitStrategy): LoopWaiter {
    const at = this.base * 4;
    return new binding.LoopWaiter({
      words: new Int32Array(this.tables, at + MEMBER_W.summary * 4, 16),
      armed: new Int32Array(this.tables, at + MEMBER_W.armed * 4, 1),
      eventfd: this.bell,
      spinNs: wait.spinNs,
      pollMs: POLL_MS,
      onWork: () => this.poll(),
    });
  }

  #serve(index: number): void {
    try {
      if (index !== CONTROL_BIT) this.#marks.channel(index);
      else {
        this.control.collectReply();
        this.#answerPulse();
        forEveryone([() => this.#marks.control(), ...this.#controlListeners], (serve) => serve());
      }
    } catch (error) {
      this.#faults.push(error);
    }
  }

  #ring(slot: number): void {
    if (this.#state === 'closed') return;
    this.#doorbellsRung++;
    this.device.ring(slot, NOTIFY_VECTOR);
  }

  #ringSelf(): boolean {
    if (this.#state === 'open') this.device.ring(this.slot, NOTIFY_VECTOR);
    return this.#state === 'open';
  }

  /** Tells the server that this life is over, without waiting for an answer; once. */
  #obituary(reason: number): void {
    removeMortal(this);
    if (!this.#living) return;
    this.#living = false;
    const { words, base } = this;
    words[base + MEMBER_W.obituaryReason] = reason;
    // Release: pairs with the server's acquire of the obituary, after which it reads the reason.
    Atomics.store(words, base + MEMBER_W.obituary, this.generation);
    this.notify(SERVER_SLOT, this.slot);
    // Nobody is left to ring again if who took `armed` died before it rang.
    this.#ring(SERVER_SLOT);
  }

  #answerPulse(): void {
    const answered = this.#pulse.answer(() => this.statistics());
    // Who is suspected and lives again must not wait for the next pulse to be believed.
    if (answered && this.place !== null && looksSuspect(this.words, this.place, this.slot))
      this.notify(SERVER_SLOT, this.slot);
  }

  #about(): object {
    const { name, slot, device, header } = this;
    return { region: header.name, on: device.on, name, slot };
  }

  #removed(): void {
    const error = new IvshmemError('ERR_IVSHMEM_DEVICE_REMOVED', { on: this.device.on });
    this.control.abandon(error);
    try {
      forEveryone(this.#removedListeners.splice(0), (callback) => callback(error));
    } finally {
      this.shut();
    }
  }
}
