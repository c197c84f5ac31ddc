import {
  LAYOUT_MAJOR,
  OP_CLOSE,
  OP_CONNECT,
  OP_DESCRIBE,
  OP_DRAIN,
  OP_GOODBYE,
  OP_HELLO,
  OP_LISTEN,
  OP_REFRESH,
  OP_SPACE_CLOSE,
  OP_SPACE_OPEN,
  OP_SPACE_REMOVE,
  OP_SPACE_REVOKE,
  OP_SUSPECT,
  OP_UNLISTEN,
  OPEN_EXISTING,
  OPEN_NEW,
  SLOT_ATTACHED,
  STATUS_BAD_REQUEST,
  STATUS_EVICTED,
  STATUS_FORBIDDEN,
  STATUS_NAME_TAKEN,
  STATUS_NO_HOSTS,
  STATUS_NO_SERVICE,
  STATUS_NO_SPACE,
  STATUS_NOT_ATTACHED,
  STATUS_OK,
  STATUS_QUOTA,
  STATUS_VERSION,
} from '../../memory/layout.ts';
import { REASON_CLOSED, REASON_REBOOTED } from '../../memory/membership.ts';
import type { Transaction } from '../records/transaction.ts';
import { type AccessRule, accessOf } from './access.ts';
import type { Channels } from './channels.ts';
import type { Members } from './members.ts';
import {
  parseConnect,
  parseDescribe,
  parseGoodbye,
  parseHello,
  parseListen,
  parseSpaceName,
  parseSpaceOpen,
  parseSuspect,
} from './requests.ts';
import type { Services } from './services.ts';
import type { Slot, SlotTable } from './slots.ts';
import type { Spaces } from './spaces.ts';
import type { SpreadDesk } from './spread-desk.ts';

/** status and results of a reply. */
export type Answer = readonly [status: number, ...results: number[]];

export interface ControlEffects {
  /** A copy of the first bytes of the slot's draft. */
  draft(slot: number, bytes: number): Uint8Array;
  /** Writes the shared tables again. */
  refresh(tx: Transaction): void;
  /** Who decides on spaces that spread over hosts; null: this server is alone. */
  readonly spread: Pick<SpreadDesk, 'open' | 'remove'> | null;
}

/** What the server does for its members: requests in, answers out. It knows nothing of memory, sockets or doorbells. */
export class Control {
  readonly #slots: SlotTable;
  readonly #services: Services;
  readonly #channels: Channels;
  readonly #spaces: Spaces | null;
  readonly #members: Members;
  readonly #heapBytes: number;
  readonly #maxListeners: number;
  readonly #access: readonly AccessRule[];
  readonly #effects: ControlEffects;

  constructor(
    slots: SlotTable,
    services: Services,
    channels: Channels,
    spaces: Spaces | null,
    members: Members,
    limits: { heapBytes: number; listeners: number; access: readonly AccessRule[] },
    effects: ControlEffects,
  ) {
    this.#slots = slots;
    this.#services = services;
    this.#channels = channels;
    this.#spaces = spaces;
    this.#members = members;
    this.#heapBytes = limits.heapBytes;
    this.#maxListeners = limits.listeners;
    this.#access = limits.access;
    this.#effects = effects;
  }

  /**
   * Answers a request of a slot that a client holds. `request` is a private copy: [seq, op, arguments]. Null: other hosts are asked, and the
   * slot will be visited again.
   */
  answer(tx: Transaction, slot: Slot, request: Int32Array): Answer | null {
    const op = request[1]!;
    if (op === OP_HELLO) return this.#hello(tx, slot, request);
    if (slot.state !== SLOT_ATTACHED) return [slot.evicted ? STATUS_EVICTED : STATUS_NOT_ATTACHED];
    switch (op) {
      case OP_LISTEN:
        return this.#listen(tx, slot, request);
      case OP_UNLISTEN:
        if (!this.#services.remove(tx, slot.id, request[2]!)) return [STATUS_NO_SERVICE];
        this.#members.update(tx, slot);
        return [STATUS_OK];
      case OP_CONNECT:
        return this.#connect(tx, slot, request);
      case OP_CLOSE:
        return [this.#channels.close(tx, slot.id, request[2]!, request[3]! >>> 0)];
      case OP_GOODBYE:
        return this.#goodbye(tx, slot, request);
      case OP_DESCRIBE:
        return this.#describe(tx, slot, request);
      case OP_DRAIN:
        this.#members.drain(tx, slot);
        return [STATUS_OK];
      case OP_SUSPECT:
        return this.#suspect(tx, slot, request);
      case OP_REFRESH:
        this.#effects.refresh(tx);
        return [STATUS_OK];
      case OP_SPACE_OPEN:
      case OP_SPACE_CLOSE:
      case OP_SPACE_REMOVE:
      case OP_SPACE_REVOKE:
        return this.#spaces === null ? [STATUS_BAD_REQUEST] : this.#space(tx, this.#spaces, slot, request);
      default:
        return [STATUS_BAD_REQUEST];
    }
  }

  #space(tx: Transaction, spaces: Spaces, slot: Slot, request: Int32Array): Answer | null {
    switch (request[1]) {
      case OP_SPACE_CLOSE:
        return [spaces.close(tx, slot.id, request[2]!, request[3]! >>> 0)];
      case OP_SPACE_REMOVE:
      case OP_SPACE_REVOKE: {
        const name = parseSpaceName(request);
        if (name === null) return [STATUS_NO_SPACE];
        if (!accessOf(this.#access, name, slot).create) return [STATUS_FORBIDDEN];
        const force = request[1] === OP_SPACE_REVOKE;
        const holders = force ? null : spaces.remove(tx, name);
        if (holders !== null) return [STATUS_OK, holders];
        const { spread } = this.#effects;
        if (spread === null) return [STATUS_NO_SPACE];
        const removed = spread.remove(slot, request[0]!, name, force);
        if (removed === null) return null;
        return removed.status === STATUS_OK ? [STATUS_OK, removed.hosts.length] : [removed.status];
      }
      default: {
        const open = parseSpaceOpen(request);
        if (open === null) return [STATUS_BAD_REQUEST];
        const { spread } = this.#effects;
        if (open.pageShift !== 0 && spread === null) return [STATUS_NO_HOSTS];
        const access = accessOf(this.#access, open.name, slot);
        const only = !access.create && open.mode !== OPEN_EXISTING;
        if (!access.open || (only && open.mode === OPEN_NEW)) return [STATUS_FORBIDDEN];
        // Who may not make it may still open it.
        const wanted = { ...open, mode: only ? OPEN_EXISTING : open.mode, hosts: access.hosts };
        const opened =
          open.pageShift === 0 ? spaces.open(tx, slot, wanted) : spread!.open(tx, slot, request[0]!, wanted);
        if (opened === null) return null;
        const { status, space, created } = opened;
        if (space === null) return [only && status === STATUS_NO_SPACE ? STATUS_FORBIDDEN : status];
        return [status, space.number, space.generation, space.firstPage, space.pages, created ? 1 : 0];
      }
    }
  }

  #hello(tx: Transaction, slot: Slot, request: Int32Array): Answer {
    const hello = parseHello(request, (bytes) => this.#effects.draft(slot.id, bytes));
    if (hello === null) return [STATUS_BAD_REQUEST];
    if (hello.major !== LAYOUT_MAJOR) return [STATUS_VERSION];
    if (slot.evicted) return [STATUS_EVICTED];
    const holder = this.#slots.named(hello.name);
    if (slot.state === SLOT_ATTACHED && slot.generation === hello.generation) {
      // The same driver asks again.
      return holder === slot ? [STATUS_OK, slot.epoch] : [STATUS_BAD_REQUEST];
    }
    // Another driver in the same VM: the guest was rebooted, and what its last life held is gone.
    this.#members.leave(tx, slot, REASON_REBOOTED);
    if (holder !== undefined && holder !== slot) return [STATUS_NAME_TAKEN];
    this.#members.join(tx, slot, hello, hello.items);
    return [STATUS_OK, slot.epoch];
  }

  #goodbye(tx: Transaction, slot: Slot, request: Int32Array): Answer {
    // A 1.0 driver, which does not say what it runs on, gives no reason either.
    this.#members.leave(tx, slot, slot.backend === 0 ? REASON_CLOSED : parseGoodbye(request), false);
    return [STATUS_OK];
  }

  #describe(tx: Transaction, slot: Slot, request: Int32Array): Answer {
    const items = parseDescribe(request, (bytes) => this.#effects.draft(slot.id, bytes));
    if (items === null) return [STATUS_BAD_REQUEST];
    this.#members.describe(tx, slot, items);
    return [STATUS_OK];
  }

  #suspect(tx: Transaction, slot: Slot, request: Int32Array): Answer {
    const milliseconds = parseSuspect(request);
    if (milliseconds === null) return [STATUS_BAD_REQUEST];
    this.#members.suspectAfter(tx, slot, milliseconds);
    return [STATUS_OK];
  }

  #listen(tx: Transaction, slot: Slot, request: Int32Array): Answer {
    const service = parseListen(request);
    if (service === null) return [STATUS_BAD_REQUEST];
    if (this.#services.count(slot.id) >= this.#maxListeners) return [STATUS_QUOTA];
    const listener = this.#services.add(tx, slot.id, service);
    if (listener === null) return [STATUS_NAME_TAKEN];
    this.#members.update(tx, slot);
    return [STATUS_OK, listener.id];
  }

  #connect(tx: Transaction, slot: Slot, request: Int32Array): Answer {
    const connect = parseConnect(request, this.#heapBytes);
    if (connect === null) return [STATUS_BAD_REQUEST];
    const peer = connect.peer === '' ? null : this.#slots.named(connect.peer);
    if (peer === undefined) return [STATUS_NO_SERVICE];
    const accepts = (id: number): boolean => !this.#slots.slots[id]!.draining;
    const listener = this.#services.choose(connect.service, slot.id, peer?.id ?? null, accepts);
    if (listener === null) return [STATUS_NO_SERVICE];
    const { status, channel } = this.#channels.connect(
      tx,
      slot,
      this.#slots.slots[listener.slot]!,
      listener.id,
      connect.queueSize,
      connect.dataBytes,
    );
    return channel === null ? [status] : [status, channel.number, channel.generation];
  }
}
