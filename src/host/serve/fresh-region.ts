import { closeSync } from 'node:fs';
import { IvshmemError } from '../../errors/index.ts';
import { binding } from '../../native/binding.ts';
import { controlOf, type RegionConfig } from '../config/schema.ts';
import { Journal } from '../records/journal.ts';
import { MemfdStorage } from '../records/storage.ts';
import type { RegionKeeper } from '../restart/keeper.ts';
import { activated, type Listener, listen } from '../sockets/listener.ts';
import { openDirectory, openMemory } from './memory-source.ts';
import { PLACES_KEY, type RegionSources } from './served-region.ts';

const CONTROL_MODE = 0o600;

/** Steps back when a later step fails. */
export class Undo {
  readonly #steps: (() => void)[] = [];

  add<T>(made: T, undo: (made: T) => void): T {
    this.#steps.push(() => undo(made));
    return made;
  }

  run(): void {
    for (const step of this.#steps.splice(0).reverse()) step();
  }
}

/** Makes all that a region needs; nothing is left behind when it throws. The socket comes first: while another server owns it, its memory file is not to be touched either. */
export function freshSources(
  config: RegionConfig,
  passed: number | undefined,
  keeper: RegionKeeper,
): RegionSources {
  const undo = new Undo();
  const close = (one: { close(): void }): void => one.close();
  try {
    const listener = undo.add(openListener(config, passed), close);
    const control = openControl(config);
    if (control !== null) undo.add(control, close);
    const memory = undo.add(openMemory(config), close);
    const directory = openDirectory(config);
    if (directory !== null) undo.add(directory, close);
    const eventfds = openEventfds(config, undo);
    const storage = undo.add(MemfdStorage.create(`ivshmem-state-${config.name}`), close);
    const journal = Journal.create(storage);
    journal.append([[PLACES_KEY, { listen: listener.place, control: control?.place ?? null }]]);
    return { journal, state: storage.fd, memory, directory, eventfds, listener, control, keeper };
  } catch (error) {
    undo.run();
    throw error;
  }
}

export function openListener(config: RegionConfig, passed: number | undefined): Listener {
  if (passed !== undefined) return activated(passed, config.name);
  if (config.socket !== undefined) return listen(config.socket, config.mode, config.group);
  const why = `region ${config.name} has no socket, and systemd passed none of that name`;
  throw new IvshmemError('ERR_IVSHMEM_SERVER_CONFIG', { on: `of region ${config.name}`, why });
}

export function openControl(config: RegionConfig): Listener | null {
  const path = controlOf(config);
  return path === null ? null : listen(path, CONTROL_MODE, undefined);
}

function openEventfds(config: RegionConfig, undo: Undo): number[][] {
  const eventfds: number[][] = [];
  undo.add(eventfds, () => {
    for (const fd of eventfds.flat()) closeSync(fd);
  });
  for (let slot = 0; slot < config.slots; slot++) {
    const vectors: number[] = [];
    eventfds.push(vectors);
    for (let vector = 0; vector < config.vectors; vector++) vectors.push(binding.eventfdCreate());
  }
  return eventfds;
}
