import { closeSync } from 'node:fs';
import { z } from 'zod';
import { ControlSocket } from '../control/control-socket.ts';
import type { RegionStatus } from '../control/status.ts';
import type { Log } from '../log.ts';
import type { Journal } from '../records/journal.ts';
import { handOver } from '../restart/handover.ts';
import type { RegionKeeper } from '../restart/keeper.ts';
import { bellPart, clientPart } from '../restart/kept.ts';
import type { Listener } from '../sockets/listener.ts';
import type { RegionMemory } from './memory-source.ts';
import type { RegionServer } from './region-server.ts';

/** Key of the journal that the region's own records do not use. */
export const PLACES_KEY = 'places';

const place = z.strictObject({ path: z.string(), ino: z.int().min(0) }).nullable();
/** Where the sockets are whose descriptors are kept. */
export const placesRecord = z.strictObject({ listen: place, control: place });
export type Places = z.output<typeof placesRecord>;

/** What a region is served with; all of it is the region's. */
export interface RegionSources {
  readonly journal: Journal;
  /** Descriptor of the journal. */
  readonly state: number;
  readonly memory: RegionMemory;
  readonly directory: RegionMemory | null;
  readonly eventfds: readonly (readonly number[])[];
  readonly listener: Listener;
  /** Where operators ask; null: nowhere. */
  readonly control: Listener | null;
  readonly keeper: RegionKeeper;
}

/** What a region is to other hosts. */
export interface Hosting {
  /** Nobody moves pages of it any more, and the others know. */
  leave(): Promise<void>;
  /** It is one of them again, after a while. */
  rejoin(): void;
}

/** A region with everything that is around it: its journal, its keeper, its control socket. */
export class ServedRegion {
  readonly name: string;
  /** Null: its server is alone. */
  hosting: Hosting | null = null;
  readonly #server: RegionServer;
  readonly #sources: RegionSources;
  readonly #control: ControlSocket | null;
  readonly #controlFd: number;
  readonly #log: Log;
  readonly #onLeft: (region: ServedRegion) => void;
  #left = false;
  #closed = false;

  /** `start` makes the region of the sources it is given. `onLeft`: another server has the region. */
  constructor(
    name: string,
    sources: RegionSources,
    log: Log,
    start: (sources: RegionSources) => RegionServer,
    onLeft: (region: ServedRegion) => void,
  ) {
    this.name = name;
    this.#log = log;
    this.#onLeft = onLeft;
    this.#sources = { ...sources, ...this.#letGo(sources) };
    this.#server = start(this.#sources);
    const { control } = this.#sources;
    this.#controlFd = control?.fd ?? -1;
    this.#control =
      control === null
        ? null
        : new ControlSocket(control, this.#server, log, ({ to }) => this.handOver(String(to)));
  }

  status(): RegionStatus {
    return this.#server.status();
  }

  get server(): RegionServer {
    return this.#server;
  }

  /** Gives to the keeper what it has not; null: all. What tells that the rest is complete comes last. */
  keepAll(made: ReadonlySet<string> | null): void {
    const { keeper } = this.#sources;
    const wanted = (part: string): boolean => part !== 'state' && (made === null || made.has(part));
    for (const [part, fd] of this.descriptors()) {
      if (wanted(part)) keeper.keep(part, fd);
    }
    if (made === null) keeper.keep('state', this.#sources.state);
  }

  /** All of the region by part. */
  descriptors(): Map<string, number> {
    const all = this.#fixed();
    for (const [slot, fd] of this.#server.clientSockets()) all.set(clientPart(slot), fd);
    return all;
  }

  freeze(): void {
    this.#server.freeze();
  }

  thaw(): void {
    this.#server.thaw();
  }

  /** Gives the region to the server that listens on `to`. Throws ERR_IVSHMEM_SERVER_HANDOVER. */
  async handOver(to: string): Promise<object> {
    this.#log.info({ to }, 'handing over');
    // First of all: they change its records, and the next server listens to others where this one does.
    await this.hosting?.leave();
    try {
      await handOver(this, to);
    } catch (error) {
      this.hosting?.rejoin();
      throw error;
    }
    this.#log.info({ to }, 'handed over');
    // The answer goes out first.
    setImmediate(() => this.#onLeft(this));
    return { region: this.name };
  }

  /** Another server has it: lets go of everything without ending it for the members. */
  leave(): void {
    this.#sources.keeper.forgetAll();
    this.abandon();
  }

  /** Lets go of everything; who keeps it for the next server still has it. */
  abandon(): void {
    if (this.#closed) return;
    this.#left = true;
    this.#closed = true;
    this.#server.close();
    this.#sources.journal.close();
    // The control socket's last session still has an answer to send.
    setImmediate(() => this.#control?.close());
  }

  /** Ends the region. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#control?.close();
    this.#server.close();
    this.#sources.journal.close();
    this.#sources.keeper.forgetAll();
  }

  #fixed(): Map<string, number> {
    const { state, memory, directory, listener, eventfds } = this.#sources;
    const fixed = new Map([
      ['state', state],
      ['memory', memory.fd],
      ['listen', listener.fd],
    ]);
    if (directory !== null) fixed.set('directory', directory.fd);
    if (this.#controlFd >= 0) fixed.set('control', this.#controlFd);
    for (const [slot, vectors] of eventfds.entries()) {
      for (const [vector, fd] of vectors.entries()) fixed.set(bellPart(slot, vector), fd);
    }
    return fixed;
  }

  /** The same sources, whose closing leaves files and sockets for the next server once the region has been left. */
  #letGo({ memory, directory, listener, control }: RegionSources): Partial<RegionSources> {
    const memoryOf = (one: RegionMemory): RegionMemory => ({
      ...one,
      close: () => (this.#left ? one.leave() : one.close()),
    });
    const listenerOf = (one: Listener): Listener => ({
      ...one,
      close: () => (this.#left ? closeSync(one.fd) : one.close()),
    });
    return {
      memory: memoryOf(memory),
      directory: directory === null ? null : memoryOf(directory),
      listener: listenerOf(listener),
      control: control === null ? null : listenerOf(control),
    };
  }
}
