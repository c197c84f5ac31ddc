import { closeSync } from 'node:fs';
import { IvshmemError } from '../../errors/index.ts';
import { refusal } from '../../membership/refusal.ts';
import {
  PAGE_BYTES,
  SERVER_SLOT,
  SLOT_ATTACHED,
  SLOT_FREE,
  STATUS_NO_HOSTS,
  STATUS_NO_SPACE,
  STATUS_OK,
  type StatisticName,
} from '../../memory/layout.ts';
import type { MemberRecord } from '../../memory/member-record.ts';
import { REASON_CRASHED, REASON_MIGRATED, REASON_NONE } from '../../memory/membership.ts';
import { binding } from '../../native/binding.ts';
import type { RegionSample, SpacesReport, SpreadReport } from '../../observe/sample.ts';
import { type ClientKeeper, Clients } from '../clients/clients.ts';
import { Mailbox } from '../clients/mailbox.ts';
import type { RegionConfig } from '../config/schema.ts';
import type { ControlSubject, RemovedSpace } from '../control/control-desk.ts';
import type { RegionStatus } from '../control/status.ts';
import type { SpreadRegion } from '../hosts/spread-region.ts';
import type { Log } from '../log.ts';
import { regionSample } from '../metrics/region-sample.ts';
import type { RegionRecords } from '../records/records.ts';
import type { JournalSink, Transaction } from '../records/transaction.ts';
import type { Credentials } from '../region/admission.ts';
import type { Counters } from '../region/counters.ts';
import { RegionCore } from '../region/region-core.ts';
import type { SpaceOpen } from '../region/requests.ts';
import type { Slot } from '../region/slots.ts';
import type { Opened } from '../region/spaces.ts';
import type { Removed, SpreadDesk } from '../region/spread-desk.ts';
import { Acceptor } from '../sockets/acceptor.ts';
import type { Listener } from '../sockets/listener.ts';
import { Drains } from './drains.ts';
import { endReason } from './end-reason.ts';
import { HugePages } from './huge-pages.ts';
import type { RegionMemory } from './memory-source.ts';

/** What a region is made of. The region owns memories, eventfds, listener and clients' sockets from now on. */
export interface RegionParts {
  readonly memory: RegionMemory;
  /** eventfds[slot][vector] */
  readonly eventfds: readonly (readonly number[])[];
  readonly listener: Listener;
  /** Of this process. */
  readonly own: Credentials;
  readonly log: Log;
  /** Where the membership is repeated for members that do not trust the others. */
  readonly directory?: RegionMemory | null;
  /** Where each transaction is kept; without one the region ends with this process. */
  readonly journal?: JournalSink | null;
  /** Holds the clients' sockets over a restart. */
  readonly keeper?: ClientKeeper | null;
  /** What an earlier server knew, and its clients' sockets by slot; without it a fresh region is made. */
  readonly restored?: {
    readonly records: RegionRecords;
    readonly clients: ReadonlyMap<number, number>;
  } | null;
}

/** One region: its memory, its slots and clients, and what they ask for. */
export class RegionServer implements ControlSubject {
  readonly config: RegionConfig;
  readonly #parts: RegionParts;
  readonly #core: RegionCore;
  readonly #clients: Clients;
  readonly #mailbox: Mailbox;
  readonly #acceptor: Acceptor;
  /** Null: the region stays in pages of 4 KiB, or was made of huge ones. */
  readonly #huge: HugePages | null;
  readonly #drains = new Drains((slot) => this.#core.truth.channels.count(slot));
  /** Null: this server is alone. 'joining': it is to be one of several, and requests wait. */
  #spread: SpreadDesk | 'joining' | null = null;
  #closed = false;

  /**
   * The region is ready before the first client is accepted. Throws a RangeError when what is to be restored contradicts
   * itself or the configuration; nothing was written then, and the parts stay the caller's.
   */
  constructor(config: RegionConfig, parts: RegionParts) {
    const { memory, eventfds, listener, log, directory, journal, keeper, restored } = parts;
    this.config = config;
    this.#parts = parts;
    const { transparentHugePages: huge } = config;
    this.#huge = huge && config.memory !== 'hugepages' ? new HugePages(memory.mapping.buffer, log) : null;
    this.#core = new RegionCore(config, {
      memory: memory.mapping.buffer,
      directory: directory?.mapping.buffer ?? null,
      eventfds,
      own: parts.own,
      log,
      journal: journal ?? null,
      records: restored?.records ?? null,
      spread: {
        open: (tx, slot, seq, open) => this.#openSpread(tx, slot, seq, open),
        remove: (slot, seq, name, force) => this.#removeSpread(slot, seq, name, force),
      },
      // A file was given its room once and for all, and huge pages are not freed in part: those are written.
      ...(config.memory === 'memfd' ? { zeroPages: (...pages) => this.#punch(...pages) } : {}),
      taken: (...pages) => this.#huge?.take(...pages),
    });
    const { tables, truth, members, transactions, counters } = this.#core;
    const admission = {
      rules: config.admit ?? [{ uid: 0 }, { uid: process.getuid!() }],
      memoryFd: memory.fd,
      eventfds,
    };
    this.#clients = new Clients(
      admission,
      truth.slots,
      members,
      transactions,
      counters,
      keeper ?? null,
      log,
      (slot, why) => this.#gone(slot, why),
    );
    this.#mailbox = new Mailbox(
      tables.words,
      tables.members.block(SERVER_SLOT),
      config.slots,
      eventfds[SERVER_SLOT]![0]!,
      (slot) => {
        this.#core.visit(slot);
        this.#drains.look();
      },
    );
    if (restored) this.#adopt(restored.clients);
    this.#acceptor = new Acceptor(
      listener,
      (socket) => this.#clients.connected(socket),
      (error) => log.error({ err: error }, 'cannot accept'),
    );
    this.#core.resume();
    const { size, slots, vectors } = config;
    log.info({ socket: listener.on, size, slots, vectors, memory: config.memory }, 'listening');
  }

  status(): RegionStatus {
    const { truth } = this.#core;
    return {
      name: this.config.name,
      socket: this.#acceptor.on,
      sizeBytes: this.config.size,
      slots: this.config.slots,
      channels: truth.channels.openCount,
      freeHeapBytes: truth.allocator.freePages * PAGE_BYTES,
      members: [...this.#clients].map(([slot, client]) => ({
        slot: slot.id,
        epoch: slot.epoch,
        ...slot.credentials,
        name: slot.name,
        attached: slot.state === SLOT_ATTACHED,
        evicted: slot.evicted,
        channels: truth.channels.count(slot.id),
        unsentMessages: client.waiting,
      })),
    };
  }

  /**
   * The newest view, and the last record of each slot as the server knows it, whatever members scribbled on the shared tables; null
   * for one that was never used.
   */
  members(): { view: number; records: readonly (MemberRecord | null)[] } {
    const { view, records } = this.#core.truth.views;
    return { view, records };
  }

  /** The number of the newest view. */
  get view(): number {
    return this.#core.truth.views.view;
  }

  get name(): string {
    return this.config.name;
  }

  get counters(): Counters {
    return this.#core.counters;
  }

  /** Calls back with each view once it is in shared memory, until the function returned is called. */
  onView(listener: (record: MemberRecord) => void): () => void {
    return this.#core.onView(listener);
  }

  /** Asks all members for fresh statistics. Resolves when all have answered, or after 200 ms. */
  async sample(): Promise<RegionSample> {
    await this.#core.pulse.sample();
    // The memory may be gone by now.
    if (this.#closed) throw new IvshmemError('ERR_IVSHMEM_CONTROL_REQUEST', { why: 'the region was closed' });
    return regionSample(this.config, this.#core, this.#parts.memory.mapping.buffer);
  }

  /** What a member counted as of its last answer; in its own words. */
  statistics(slot: number): Record<StatisticName, bigint> {
    return this.#core.tables.members.statistics(slot);
  }

  /**
   * Throws a member out. Its slot stays taken until its client is gone, who keeps memory and doorbells: ivshmem takes nothing
   * back. False when nobody holds the slot.
   */
  evict(id: number): boolean {
    const slot = this.#core.truth.slots.slots[id];
    if (slot === undefined || id === SERVER_SLOT || slot.state === SLOT_FREE) return false;
    this.#core.transactions.run((tx) => this.#core.members.evict(tx, slot));
    this.#parts.log.warn({ slot: id, epoch: slot.epoch, ...slot.credentials }, 'evicted');
    this.#mailbox.lookAtAll();
    return true;
  }

  /**
   * Has a member's driver leave its channels: it is shown as leaving and gets no new ones. Resolves with how many it still has, at 0 at
   * once and after `ms` at the latest; null when no driver is attached. `migrates`: if its device is unplugged now, the others are
   * told that it migrated.
   */
  drain(id: number, { migrates, ms }: { migrates: boolean; ms: number }): Promise<number> | null {
    const slot = this.#attached(id);
    if (slot === null) return null;
    const departure = migrates ? REASON_MIGRATED : REASON_NONE;
    this.#core.transactions.run((tx) => this.#core.members.drain(tx, slot, departure));
    return this.#drains.wait(id, ms);
  }

  /** Takes a drain back; false when no driver is attached. */
  undrain(id: number): boolean {
    const slot = this.#attached(id);
    if (slot !== null) this.#core.transactions.run((tx) => this.#core.members.undrain(tx, slot));
    return slot !== null;
  }

  /** Those of the server's own records, in the order of their names. `all`: what other hosts have of them, too. */
  async spaces(all = true): Promise<SpacesReport> {
    const desk = this.#spread === 'joining' ? null : this.#spread;
    const spread = (await desk?.reports.spaces(all)) ?? new Map<string, SpreadReport>();
    const spaces = [...(this.#core.truth.spaces?.all ?? [])].map((space) => {
      const { name, bytes, pages, persistent, holders, createdBy } = space;
      const found = space.spread === null || space.spread.over ? undefined : spread.get(name);
      return {
        ...{ name, bytes, memoryBytes: pages * PAGE_BYTES, persistent, holders: holders.length, createdBy },
        ...(found === undefined ? {} : { spread: found }),
      };
    });
    const report = { region: this.name, spaces: spaces.sort((a, b) => (a.name < b.name ? -1 : 1)) };
    return desk === null ? report : { ...report, hosts: desk.reports.hosts() };
  }

  /** Rejects with ERR_IVSHMEM_SPACE_MISSING, _SPACE_FORBIDDEN, ERR_IVSHMEM_SPREAD_DIFFERS or ERR_IVSHMEM_REFUSED. */
  async removeSpace(name: string, force: boolean): Promise<RemovedSpace> {
    const operation = `remove the space ${name}`;
    const { spaces } = this.#core.truth;
    const holders = this.#core.transactions.run((tx) => (force ? null : (spaces?.remove(tx, name) ?? null)));
    if (holders !== null) return { holders };
    if (force && spaces?.local(name)) {
      const found = 'it is not spread over hosts';
      throw new IvshmemError('ERR_IVSHMEM_SPREAD_DIFFERS', { operation, on: this.name, found });
    }
    if (this.#spread === 'joining') throw refusal(STATUS_NO_HOSTS, operation, this.name);
    const removed = await this.#spread?.removeNow(name, force);
    const { status, hosts } = removed ?? { status: STATUS_NO_SPACE, hosts: [] };
    if (status !== STATUS_OK) throw refusal(status, operation, this.name);
    return { holders: force ? 0 : hosts.length, hosts };
  }

  /** Who answers requests for spaces that spread over hosts. */
  set spread(desk: SpreadDesk | 'joining' | null) {
    this.#spread = desk;
    this.#mailbox.lookAtAll();
  }

  /** For those who move pages in it. */
  get spreadRegion(): SpreadRegion {
    const { config } = this;
    const { memory, eventfds } = this.#parts;
    const core = this.#core;
    return {
      name: config.name,
      memory: { fd: memory.fd, buffer: memory.mapping.buffer },
      slots: config.slots,
      vectors: config.vectors,
      heapPages: config.size / PAGE_BYTES - core.tables.heapPage,
      spaces: core.truth.spaces,
      eventfd: (slot, vector) => eventfds[slot]!.at(vector)!,
      attached: () =>
        [...core.truth.slots.held()].filter(({ state }) => state === SLOT_ATTACHED).map(({ id }) => id),
      run: (work) => core.transactions.run(work),
      visit: (slot) => void setImmediate(() => !this.#closed && core.visit(slot)),
      evict: (slot) => void this.evict(slot),
      onView: (listener) => core.onView(listener),
    };
  }

  /** Each client's socket by slot, for whoever goes on with them. */
  clientSockets(): Map<number, number> {
    return new Map([...this.#clients].map(([slot, client]) => [slot.id, client.socket]));
  }

  /** Stops doing anything: connections, requests and ends wait, for this server or another one. Idempotent. */
  freeze(): void {
    if (this.#closed) return;
    this.#acceptor.pause();
    this.#mailbox.pause();
    this.#clients.pause();
    this.#core.pause();
  }

  /** Goes on after freeze(). Idempotent. */
  thaw(): void {
    if (this.#closed) return;
    this.#clients.resume();
    this.#core.resume();
    this.#mailbox.resume();
    this.#acceptor.resume();
  }

  /** Stops listening and lets go of all clients; their VMs keep the memory and each other's doorbells. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#drains.close();
    this.#core.close();
    this.#acceptor.close();
    this.#mailbox.close();
    this.#clients.close();
    this.#huge?.close();
    for (const eventfd of this.#parts.eventfds.flat()) closeSync(eventfd);
    this.#parts.memory.close();
    this.#parts.directory?.close();
    this.#parts.log.info('closed');
  }

  #openSpread(tx: Transaction, slot: Slot, seq: number, open: SpaceOpen): Opened | null {
    if (this.#spread === 'joining') return null;
    if (this.#spread === null) return { status: STATUS_NO_HOSTS, space: null, created: false };
    return this.#spread.open(tx, slot, seq, open);
  }

  #removeSpread(slot: Slot, seq: number, name: string, force: boolean): Removed | null {
    if (this.#spread === 'joining') return null;
    if (this.#spread === null) return { status: STATUS_NO_SPACE, hosts: [] };
    return this.#spread.remove(slot, seq, name, force);
  }

  #gone(slot: Slot, why: string): void {
    const { id, epoch, name, credentials, backend } = slot;
    this.#parts.log.info({ slot: id, epoch, member: name, ...credentials, why }, 'disconnected');
    // What the driver, or somebody for it, wrote before counts.
    const reason = this.#core.obituary(slot) ?? endReason(credentials.pid, backend);
    this.#core.transactions.run((tx) => this.#core.members.disconnect(tx, slot, reason));
    this.#mailbox.lookAtAll();
    this.#drains.look();
  }

  /** Pages that were never touched cost nothing, and those of an earlier space are given back. */
  #punch(firstPage: number, pages: number): void {
    binding.punchHole(this.#parts.memory.fd, firstPage * PAGE_BYTES, pages * PAGE_BYTES);
    this.#huge?.lose(firstPage, pages);
  }

  #attached(id: number): Slot | null {
    const slot = this.#core.truth.slots.slots[id];
    return slot !== undefined && id !== SERVER_SLOT && slot.state === SLOT_ATTACHED ? slot : null;
  }

  /** Goes on with the clients of an earlier server. A slot whose socket nobody kept has no client any more. */
  #adopt(sockets: ReadonlyMap<number, number>): void {
    const { slots } = this.#core.truth;
    for (const slot of slots.held()) {
      const socket = sockets.get(slot.id);
      if (socket !== undefined) this.#clients.adopt(slot, socket);
      else this.#core.transactions.run((tx) => this.#core.members.disconnect(tx, slot, REASON_CRASHED));
    }
    // Kept, but the slot was never given: the server died between the two.
    for (const [id, socket] of sockets) {
      if (slots.slots[id] === undefined || slots.slots[id].state === SLOT_FREE) {
        this.#parts.keeper?.forget(id);
        closeSync(socket);
      }
    }
  }
}
