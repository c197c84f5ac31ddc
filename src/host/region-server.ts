import { closeSync } from 'node:fs';
import { CONTROL_BIT, PAGE_BYTES, SERVER_SLOT, SLOT_ATTACHED, SLOT_FREE } from '../memory/layout.ts';
import { post } from '../memory/pending.ts';
import { binding } from '../native/binding.ts';
import { Acceptor } from './acceptor.ts';
import { admits, type Credentials, missingDescriptors } from './admission.ts';
import { PageAllocator } from './allocator.ts';
import { Channels } from './channels.ts';
import { Client } from './client.ts';
import { Control } from './control.ts';
import { handshake, REFUSED_ADMISSION, REFUSED_FD_LIMIT, REFUSED_FULL } from './handshake.ts';
import type { Listener } from './listener.ts';
import type { Log } from './log.ts';
import { Mailbox } from './mailbox.ts';
import type { RegionMemory } from './memory-source.ts';
import { Refused } from './refused.ts';
import type { RegionConfig } from './schema.ts';
import { Services } from './services.ts';
import { type Slot, SlotTable } from './slots.ts';
import type { RegionStatus } from './status.ts';
import { Tables } from './tables.ts';

interface Refusal {
  readonly version: number;
  readonly why: string;
}

/** One region: its memory, its slots and clients, and what they ask for. */
export class RegionServer {
  readonly #config: RegionConfig;
  readonly #log: Log;
  readonly #memory: RegionMemory;
  readonly #slots: SlotTable;
  readonly #tables: Tables;
  readonly #allocator: PageAllocator;
  readonly #channels: Channels;
  readonly #control: Control;
  readonly #mailbox: Mailbox;
  readonly #acceptor: Acceptor;
  readonly #clients = new Map<Slot, Client>();
  readonly #refused = new Refused();
  #closed = false;

  /** Owns `memory`, `eventfds` and `listener` from now on. The region is ready before the first client is accepted. */
  constructor(
    config: RegionConfig,
    memory: RegionMemory,
    eventfds: readonly (readonly number[])[],
    listener: Listener,
    own: Credentials,
    log: Log,
  ) {
    const { name, slots, vectors, channels, size, quota } = config;
    this.#config = config;
    this.#log = log;
    this.#memory = memory;
    this.#slots = new SlotTable(eventfds, own);
    this.#tables = new Tables(memory.mapping.buffer, slots, channels);
    this.#tables.format({ regionBytes: size, slots, vectors, channels, name });
    this.#tables.writeSlot(this.#slots.slots[SERVER_SLOT]!);
    const heapPages = size / PAGE_BYTES - this.#tables.heapPage;
    this.#allocator = new PageAllocator(this.#tables.heapPage, heapPages);
    const perSlot = { channels: quota.channels, pages: Math.floor(heapPages * quota.heap) };
    this.#channels = new Channels(slots, channels, this.#allocator, perSlot, {
      writeChannel: (channel) => this.#tables.writeChannel(channel),
      writeClosed: (channel) => this.#tables.writeClosed(channel),
      freeChannel: (number) => this.#tables.freeChannel(number),
      event: (slot, channel) => this.#event(slot, channel),
    });
    const limits = { heapBytes: heapPages * PAGE_BYTES, listeners: quota.listeners };
    this.#control = new Control(this.#slots, new Services(), this.#channels, limits, {
      writeSlot: (slot) => this.#tables.writeSlot(slot),
      clearEvents: (slot) => this.#tables.clearEvents(slot),
      log: (slot, what) => log.info({ slot: slot.id, member: slot.name, ...slot.credentials }, what),
    });
    const doorbell = eventfds[SERVER_SLOT]![0]!;
    const block = this.#tables.member(SERVER_SLOT);
    this.#mailbox = new Mailbox(this.#tables.words, block, slots, doorbell, (slot) => this.#request(slot));
    this.#acceptor = new Acceptor(
      listener,
      (socket) => this.#connected(socket),
      (error) => log.error({ err: error }, 'cannot accept'),
    );
    log.info({ socket: listener.on, size, slots, vectors, memory: config.memory }, 'listening');
  }

  status(): RegionStatus {
    return {
      name: this.#config.name,
      socket: this.#acceptor.on,
      sizeBytes: this.#config.size,
      slots: this.#config.slots,
      channels: this.#channels.openCount,
      freeHeapBytes: this.#allocator.freePages * PAGE_BYTES,
      members: [...this.#clients].map(([slot, client]) => ({
        slot: slot.id,
        epoch: slot.epoch,
        ...slot.credentials,
        name: slot.name,
        attached: slot.state === SLOT_ATTACHED,
        channels: this.#channels.count(slot.id),
        unsentMessages: client.waiting,
      })),
    };
  }

  /** Stops listening and lets go of all clients; their VMs keep the memory and each other's doorbells. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#acceptor.close();
    this.#mailbox.close();
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
    this.#refused.close();
    for (const eventfd of this.#slots.eventfds.flat()) closeSync(eventfd);
    this.#memory.close();
    this.#log.info('closed');
  }

  #connected(socket: number): void {
    const credentials = binding.socketCredentials(socket);
    const refusal = this.#refusal(credentials);
    const slot = refusal === null ? this.#slots.take(credentials) : null;
    if (slot === null) {
      this.#refuse(socket, credentials, refusal ?? { version: REFUSED_FULL, why: 'no free slot' });
      return;
    }
    this.#tables.clearMember(slot.id);
    this.#tables.writeSlot(slot);
    const about = { slot: slot.id, epoch: slot.epoch, ...credentials };
    const client = new Client(socket, {
      gone: (why) => this.#gone(slot, why),
      spoke: () => this.#log.warn(about, 'the client sends data, which is ignored'),
      stalled: (waiting) => this.#log.warn({ ...about, waiting }, 'the client does not read'),
    });
    this.#clients.set(slot, client);
    this.#log.info(about, 'connected');
    client.send(handshake(slot.id, this.#memory.fd, this.#slots.eventfds));
  }

  /** Why a client may not have a slot, or null. */
  #refusal(credentials: Credentials): Refusal | null {
    const { slots, vectors, admit } = this.#config;
    if (!admits(admit ?? [{ uid: 0 }, { uid: process.getuid!() }], credentials)) {
      return { version: REFUSED_ADMISSION, why: 'not admitted' };
    }
    const missing = missingDescriptors(credentials.pid, slots * vectors + 1);
    if (missing > 0) return { version: REFUSED_FD_LIMIT, why: `${missing} file descriptors too few` };
    return null;
  }

  #refuse(socket: number, credentials: Credentials, { version, why }: Refusal): void {
    this.#log.warn({ ...credentials, version }, `refused: ${why}`);
    this.#refused.add(socket, version);
  }

  #gone(slot: Slot, why: string): void {
    const { id, epoch, name, credentials } = slot;
    this.#log.info({ slot: id, epoch, member: name, ...credentials, why }, 'disconnected');
    this.#clients.delete(slot);
    this.#control.died(slot);
  }

  #request(id: number): void {
    const slot = this.#slots.slots[id]!;
    if (slot.state === SLOT_FREE) return;
    const request = this.#tables.takeRequest(slot);
    if (request === null) return;
    const [status, ...results] = this.#control.answer(slot, request);
    this.#log.debug({ slot: id, op: request[1], status, results }, 'request');
    this.#tables.writeReply(id, request[0]!, status, results);
    this.#notify(id);
  }

  #event(id: number, channel: number): void {
    this.#tables.writeEvent(this.#slots.slots[id]!, channel);
    this.#notify(id);
  }

  #notify(id: number): void {
    if (post(this.#tables.words, this.#tables.member(id), CONTROL_BIT)) {
      binding.eventfdSignal(this.#slots.eventfds[id]![0]!);
    }
  }
}
