import { closeSync } from 'node:fs';
import { IvshmemError, isIvshmemError } from '../../errors/index.ts';
import { controlOf, type RegionConfig } from '../config/schema.ts';
import { Journal } from '../records/journal.ts';
import { type RegionRecords, readRecords } from '../records/records.ts';
import { MemfdStorage } from '../records/storage.ts';
import { buildTruth, contradiction } from '../region/truth.ts';
import type { RegionKeeper } from '../restart/keeper.ts';
import { bellPart, type KeptRegion } from '../restart/kept.ts';
import { adopted, type Listener } from '../sockets/listener.ts';
import { openControl, openListener, Undo } from './fresh-region.ts';
import { adoptDirectory, adoptMemory, openDirectory, type RegionMemory } from './memory-source.ts';
import { PLACES_KEY, type Places, placesRecord, type RegionSources } from './served-region.ts';

export interface RestoredSources {
  readonly sources: RegionSources;
  readonly records: RegionRecords;
  /** Sockets of clients by slot. */
  readonly clients: ReadonlyMap<number, number>;
  /** Parts that were made anew. */
  readonly made: ReadonlySet<string>;
}

/**
 * A region as an earlier server left it, checked as a whole and with nothing of it changed yet. Takes what it needs out of
 * `kept` and closes the rest; when it throws all of that is closed, and whoever else keeps the descriptors still has them.
 * Throws ERR_IVSHMEM_SERVER_STATE.
 */
export function keptSources(
  config: RegionConfig,
  kept: KeptRegion,
  passed: number | undefined,
  keeper: RegionKeeper,
): RestoredSources {
  const undo = new Undo();
  const close = (one: { close(): void }): void => one.close();
  const need = (part: string): number => {
    const fd = kept.take(part);
    if (fd !== undefined) return fd;
    throw state(config.name, `its ${part} is missing among the kept descriptors`);
  };
  try {
    const storage = undo.add(new MemfdStorage(need('state')), close);
    const journal = Journal.load(storage, config.name);
    const { records, places } = read(journal, config);
    const memoryFd = undo.add(need('memory'), closeSync);
    const memory = adoptMemory(config, memoryFd);
    undo.add(memory, ({ mapping }) => mapping.close());
    const eventfds = Array.from({ length: config.slots }, (_, slot) =>
      Array.from({ length: config.vectors }, (_, vector) =>
        undo.add(need(bellPart(slot, vector)), closeSync),
      ),
    );
    const clients = kept.takeClients();
    undo.add(clients, () => {
      for (const fd of clients.values()) closeSync(fd);
    });
    check(config, eventfds, records);
    const old = {
      directory: kept.take('directory'),
      listen: kept.take('listen'),
      control: kept.take('control'),
    };
    const directory = keptDirectory(config, old.directory);
    if (directory !== null) undo.add(directory, (one) => one.leave());
    const listener = undo.add(keptListener(config, old.listen, places, passed), ({ fd }) => closeSync(fd));
    const control = keptControl(config, old.control, places);
    if (control !== null) undo.add(control, ({ fd }) => closeSync(fd));
    kept.close();
    journal.append([[PLACES_KEY, { listen: listener.place, control: control?.place ?? null }]]);
    const now = {
      directory: directory?.fd,
      listen: listener.place === null ? undefined : listener.fd,
      control: control?.fd,
    };
    const parts = ['directory', 'listen', 'control'] as const;
    const made = new Set(parts.filter((part) => now[part] !== undefined && now[part] !== old[part]));
    const sources = { journal, state: storage.fd, memory, directory, eventfds, listener, control, keeper };
    return { sources, records, clients, made };
  } catch (error) {
    undo.run();
    kept.close();
    throw error;
  }
}

function state(on: string, why: string, cause?: unknown): IvshmemError {
  return new IvshmemError('ERR_IVSHMEM_SERVER_STATE', { on, why }, { cause });
}

function read(journal: Journal, config: RegionConfig): { records: RegionRecords; places: Places } {
  const entries = journal.entries();
  let places: Places;
  let records: RegionRecords;
  try {
    places = placesRecord.parse(entries.get(PLACES_KEY));
    entries.delete(PLACES_KEY);
    records = readRecords(entries);
  } catch (cause) {
    throw state(config.name, `its records make no sense: ${(cause as Error).message}`, cause);
  }
  const why = contradiction(config, records.region);
  if (why !== null) throw state(config.name, why);
  return { records, places };
}

/** Builds everything once to see whether the records go together. */
function check(config: RegionConfig, eventfds: readonly (readonly number[])[], records: RegionRecords): void {
  const nothing = (): void => {};
  const effects = {
    taken: nothing,
    zeroRings: nothing,
    writeChannel: nothing,
    writeClosed: nothing,
    freeChannel: nothing,
    event: nothing,
    zeroPages: nothing,
    writeSpace: nothing,
    freeSpace: nothing,
  };
  try {
    buildTruth(config, eventfds, { pid: 0, uid: 0, gid: 0 }, records, effects, nothing);
  } catch (cause) {
    if (isIvshmemError(cause)) throw cause;
    throw state(config.name, `its records contradict each other: ${(cause as Error).message}`, cause);
  }
}

function keptDirectory(config: RegionConfig, fd: number | undefined): RegionMemory | null {
  if (fd === undefined) return openDirectory(config);
  if (config.directory !== undefined) return adoptDirectory(config, fd);
  closeSync(fd);
  return null;
}

function keptListener(
  config: RegionConfig,
  fd: number | undefined,
  places: Places,
  passed: number | undefined,
): Listener {
  if (fd === undefined || passed !== undefined || config.socket === undefined) {
    if (fd !== undefined && passed !== undefined) closeSync(fd);
    return openListener(config, passed ?? fd);
  }
  return adopted(fd, config.socket, places.listen) ?? openListener(config, undefined);
}

function keptControl(config: RegionConfig, fd: number | undefined, places: Places): Listener | null {
  const path = controlOf(config);
  if (fd === undefined) return openControl(config);
  if (path === null) {
    closeSync(fd);
    return null;
  }
  return adopted(fd, path, places.control) ?? openControl(config);
}
