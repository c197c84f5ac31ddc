import {
  LAYOUT_MAJOR,
  OP_CLOSE,
  OP_CONNECT,
  OP_GOODBYE,
  OP_HELLO,
  OP_LISTEN,
  OP_UNLISTEN,
  SLOT_ATTACHED,
  SLOT_FREE,
  STATUS_BAD_REQUEST,
  STATUS_NAME_TAKEN,
  STATUS_NO_SERVICE,
  STATUS_NOT_ATTACHED,
  STATUS_OK,
  STATUS_QUOTA,
  STATUS_VERSION,
} from '../memory/layout.ts';
import type { Channels } from './channels.ts';
import { parseConnect, parseHello, parseListen } from './requests.ts';
import type { Services } from './services.ts';
import type { Slot, SlotTable } from './slots.ts';

/** status and results of a reply. */
export type Answer = readonly [status: number, ...results: number[]];

export interface ControlEffects {
  /** The slot's public record changed. */
  writeSlot(slot: Slot): void;
  clearEvents(slot: Slot): void;
  log(slot: Slot, what: string): void;
}

/** What the server does for its members: requests in, answers out. It knows nothing of memory, sockets or doorbells. */
export class Control {
  readonly #slots: SlotTable;
  readonly #services: Services;
  readonly #channels: Channels;
  readonly #heapBytes: number;
  readonly #maxListeners: number;
  readonly #effects: ControlEffects;

  constructor(
    slots: SlotTable,
    services: Services,
    channels: Channels,
    limits: { heapBytes: number; listeners: number },
    effects: ControlEffects,
  ) {
    this.#slots = slots;
    this.#services = services;
    this.#channels = channels;
    this.#heapBytes = limits.heapBytes;
    this.#maxListeners = limits.listeners;
    this.#effects = effects;
  }

  /** Answers a request of a slot that a client holds. `request` is a private copy: [seq, op, arguments]. */
  answer(slot: Slot, request: Int32Array): Answer {
    const op = request[1]!;
    if (op === OP_HELLO) return this.#hello(slot, request);
    if (slot.state !== SLOT_ATTACHED) return [STATUS_NOT_ATTACHED];
    switch (op) {
      case OP_LISTEN:
        return this.#listen(slot, request);
      case OP_UNLISTEN:
        return [this.#services.remove(slot.id, request[2]!) ? STATUS_OK : STATUS_NO_SERVICE];
      case OP_CONNECT:
        return this.#connect(slot, request);
      case OP_CLOSE:
        return [this.#channels.close(slot.id, request[2]!, request[3]! >>> 0)];
      case OP_GOODBYE:
        this.#end(slot, false);
        this.#slots.detach(slot);
        this.#effects.writeSlot(slot);
        this.#effects.log(slot, 'goodbye');
        return [STATUS_OK];
      default:
        return [STATUS_BAD_REQUEST];
    }
  }

  /** The client's socket ended: whatever the slot held is given up as dead. */
  died(slot: Slot): void {
    if (slot.state === SLOT_FREE) return;
    this.#end(slot, true);
    this.#slots.release(slot);
    this.#effects.writeSlot(slot);
  }

  #hello(slot: Slot, request: Int32Array): Answer {
    const hello = parseHello(request);
    if (hello === null) return [STATUS_BAD_REQUEST];
    if (hello.major !== LAYOUT_MAJOR) return [STATUS_VERSION];
    const holder = this.#slots.named(hello.name);
    if (slot.state === SLOT_ATTACHED && slot.generation === hello.generation) {
      // The same driver asks again.
      return holder === slot ? [STATUS_OK, slot.epoch] : [STATUS_BAD_REQUEST];
    }
    // Another driver in the same VM: the guest was rebooted, and what its last life held is gone.
    if (slot.state === SLOT_ATTACHED) {
      this.#end(slot, true);
      this.#slots.detach(slot);
      this.#effects.log(slot, 'rebooted');
    }
    if (holder !== undefined && holder !== slot) {
      this.#effects.writeSlot(slot);
      return [STATUS_NAME_TAKEN];
    }
    this.#effects.clearEvents(slot);
    this.#slots.attach(slot, hello.generation, hello.name);
    this.#effects.writeSlot(slot);
    this.#effects.log(slot, 'hello');
    return [STATUS_OK, slot.epoch];
  }

  #listen(slot: Slot, request: Int32Array): Answer {
    const service = parseListen(request);
    if (service === null) return [STATUS_BAD_REQUEST];
    if (this.#services.count(slot.id) >= this.#maxListeners) return [STATUS_QUOTA];
    const listener = this.#services.add(slot.id, service);
    return listener === null ? [STATUS_NAME_TAKEN] : [STATUS_OK, listener.id];
  }

  #connect(slot: Slot, request: Int32Array): Answer {
    const connect = parseConnect(request, this.#heapBytes);
    if (connect === null) return [STATUS_BAD_REQUEST];
    const peer = connect.peer === '' ? null : this.#slots.named(connect.peer);
    if (peer === undefined) return [STATUS_NO_SERVICE];
    const listener = this.#services.choose(connect.service, slot.id, peer?.id ?? null);
    if (listener === null) return [STATUS_NO_SERVICE];
    const { status, channel } = this.#channels.connect(
      slot,
      this.#slots.slots[listener.slot]!,
      listener.id,
      connect.queueSize,
      connect.dataBytes,
    );
    return channel === null ? [status] : [status, channel.number, channel.generation];
  }

  #end(slot: Slot, died: boolean): void {
    this.#services.removeAll(slot.id);
    this.#channels.closeAll(slot.id, died);
  }
}
