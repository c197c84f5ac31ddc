import { closeSync } from 'node:fs';
import { IvshmemError } from '../../errors/index.ts';
import { controlOf, type RegionConfig } from '../config/schema.ts';
import type { Log } from '../log.ts';
import { type Offered, takeOver } from '../restart/handover.ts';
import { type Keeper, RegionKeeper } from '../restart/keeper.ts';
import { KeptRegion, keptName, keptRegions } from '../restart/kept.ts';
import { freshSources } from './fresh-region.ts';
import { keptSources, type RestoredSources } from './kept-region.ts';
import type { RegionSources } from './served-region.ts';

export interface Preparation {
  readonly sockets: ReadonlyMap<string, number>;
  readonly kept: ReadonlyMap<string, number>;
  readonly keeper: Keeper | null;
  readonly log: Log;
  readonly replace: boolean;
}

/** All that a region needs to be served; nothing was shown to anybody yet. */
export interface Prepared {
  readonly config: RegionConfig;
  readonly sources: RegionSources;
  /** Null: a fresh region. */
  readonly restored: RestoredSources | null;
  /** Parts that the keeper does not have; null: it has none. */
  readonly made: ReadonlySet<string> | null;
  /** Gives it up; what others keep of it stays as it is. */
  release(): void;
}

/**
 * Gets everything for all regions, or for none: from the running server, from the keeper, or fresh. When it returns the regions
 * belong to this process. Throws what createServer throws.
 */
export async function prepare(
  regions: readonly RegionConfig[],
  from: Preparation,
): Promise<readonly Prepared[]> {
  const kept = keptRegions(from.kept);
  const offers = new Map<string, Offered>();
  const prepared: Prepared[] = [];
  try {
    checkKept(regions, kept);
    if (from.replace) for (const config of regions) offers.set(config.name, await ask(config));
    for (const config of regions) prepared.push(prepareOne(config, kept, offers.get(config.name), from));
    for (const offer of offers.values()) await offer.accept();
    return prepared;
  } catch (error) {
    for (const one of prepared) one.release();
    for (const region of kept.values()) region.close();
    for (const offer of offers.values()) offer.refuse();
    throw error;
  }
}

function prepareOne(
  config: RegionConfig,
  kept: Map<string, KeptRegion>,
  offer: Offered | undefined,
  from: Preparation,
): Prepared {
  const { name } = config;
  const passed = from.sockets.get(name);
  const keeper = new RegionKeeper(from.keeper, name);
  const given = offer === undefined ? whole(name, kept, from) : new KeptRegion(offer.descriptors);
  if (given === null) {
    const sources = freshSources(config, passed, keeper);
    return { config, sources, restored: null, made: null, release: () => release(sources, true) };
  }
  if (offer === undefined) for (const part of given.parts) keeper.adopt(part);
  const restored = keptSources(config, given, passed, keeper);
  const giveUp = (): void => {
    for (const fd of restored.clients.values()) closeSync(fd);
    release(restored.sources, false);
  };
  const made = offer === undefined ? restored.made : null;
  return { config, sources: restored.sources, restored, made, release: giveUp };
}

/** What is kept of a region; null when that is nothing, or a server died before it had given everything to be kept. */
function whole(name: string, kept: Map<string, KeptRegion>, { keeper, log }: Preparation): KeptRegion | null {
  const region = kept.get(name);
  if (region === undefined) return null;
  kept.delete(name);
  if (region.peek('state') !== undefined) return region;
  log.warn({ region: name }, 'what is kept of the region is not complete; making a fresh one');
  for (const part of region.parts) keeper?.forget(keptName(name, part));
  region.close();
  return null;
}

function checkKept(regions: readonly RegionConfig[], kept: ReadonlyMap<string, KeptRegion>): void {
  for (const name of kept.keys()) {
    if (regions.some((region) => region.name === name)) continue;
    throw new IvshmemError('ERR_IVSHMEM_SERVER_STATE', {
      on: name,
      why: 'the configuration has no such region',
    });
  }
}

function ask(config: RegionConfig): Promise<Offered> {
  const control = controlOf(config);
  if (control !== null) return takeOver(config.name, control);
  const why = 'it has no control socket; give it the key `control`';
  throw new IvshmemError('ERR_IVSHMEM_SERVER_HANDOVER', { on: config.name, why });
}

/** `end`: it was fresh, and its files go with it. */
function release(sources: RegionSources, end: boolean): void {
  const { journal, memory, directory, eventfds, listener, control } = sources;
  journal.close();
  for (const one of [memory, directory]) end ? one?.close() : one?.leave();
  for (const one of [listener, control]) end ? one?.close() : one !== null && closeSync(one.fd);
  for (const fd of eventfds.flat()) closeSync(fd);
}
