import { attachmentOf } from '../channel/attachments.ts';
import { checkName } from '../channel/checks.ts';
import type { Region } from '../channel/index.ts';
import { IvshmemError } from '../errors/index.ts';
import {
  CONSISTENCIES,
  type Consistency,
  MOST_REPLICAS,
  OPEN_ANY,
  OPEN_EXISTING,
  OPEN_NEW,
  SPACE_NAME_BYTES,
} from '../memory/layout.ts';
import { readSpaces } from '../memory/space-table.ts';
import { difference, OpenSpaces, type Wanted } from './open-spaces.ts';
import type { Space } from './space.ts';
import { pageShiftFor } from './spread/page-size.ts';
import type { SpreadSpace } from './spread/space.ts';

/** The largest ArrayBuffer of Node 20. */
const MOST_BYTES = 2 ** 32;
const MODES = { 'if-missing': OPEN_ANY, always: OPEN_NEW, never: OPEN_EXISTING } as const;

export interface OpenSpaceOptions {
  /** Bytes. Needed where the space is to be made; of one that is there it says how large it must be at least. */
  readonly size?: number;
  /** Whether to make it: `if-missing` (default), `always` (it must not be there), `never` (it must). */
  readonly create?: keyof typeof MODES;
  /** A space that is made now stays when nobody holds it any more, until it is removed or the region is made anew. Default false. */
  readonly persistent?: boolean;
  /**
   * Its pages move between hosts, to where they are used: the space may be larger than one host's share (docs/dsm-hosts.md). The server has
   * to be one of several hosts. Default false.
   */
  readonly spread?: boolean;
  /**
   * Of a spread space: open it with what its members of all hosts synchronize with (mutex(), barrier() and so on, docs/dsm-hosts.md),
   * which is a space of its own beside it. Default false; a space that is not spread always has that.
   */
  readonly locks?: boolean;
  /**
   * Of a spread space, the same for all who open it. `sequential` (default): a store is seen by all as soon as it is made. `release`: on
   * another host it is seen by who acquires after this host has released; several hosts may store to one page meanwhile (docs/dsm-hosts.md).
   */
  readonly consistency?: Consistency;
  /**
   * Of a spread space with release consistency, the same for all who open it: how many hosts are to have each page, 1 to 64. What a flush()
   * was answered for survives the death of all of them but one (docs/dsm-hosts.md). Default 1.
   */
  readonly replicas?: number;
  /** Of a spread space that is made now: a power of two from 4096 to 2 MiB. Default: the smallest that this process can map. */
  readonly pageSize?: number;
}

/** A space as the region's table has it. */
export interface SpaceInfo {
  readonly name: string;
  readonly byteLength: number;
  readonly persistent: boolean;
  /** Members that have it open. */
  readonly holders: number;
  /** Slot and epoch of the member that made it. */
  readonly creator: { readonly slot: number; readonly epoch: number };
}

const opened = new WeakMap<Region, OpenSpaces>();

/**
 * Opens the space of a region by its name (1 to 64 bytes of UTF-8), or makes it. Opening it again in this member returns the same Space;
 * each time wants its close().
 *
 * With `spread` it is one whose pages move between hosts (docs/dsm-hosts.md); that rejects with ERR_IVSHMEM_SPREAD_VECTORS, _SPREAD_PAGES,
 * _SPREAD_DIFFERS and what acquire() does, too.
 *
 * Rejects with ERR_IVSHMEM_SPACE_MISSING (it is not there, and `create` is never or no size was given), _SPACE_EXISTS, _SPACE_SIZE (it is
 * smaller), _SPACE_OPTIONS, _SPACES_ABSENT (an older server made the region), _SPACE_MAP, ERR_IVSHMEM_REFUSED (memory or quota),
 * ERR_IVSHMEM_SERVER_SILENT, ERR_IVSHMEM_CLOSED.
 */
export async function openSpace(
  region: Region,
  name: string,
  options: OpenSpaceOptions & { readonly spread: true },
): Promise<SpreadSpace>;
export async function openSpace(
  region: Region,
  name: string,
  options?: OpenSpaceOptions & { readonly spread?: false },
): Promise<Space>;
export async function openSpace(
  region: Region,
  name: string,
  options?: OpenSpaceOptions,
): Promise<Space | SpreadSpace>;
export async function openSpace(
  region: Region,
  name: string,
  options: OpenSpaceOptions = {},
): Promise<Space | SpreadSpace> {
  const operation = `open the space ${name}`;
  const { on } = check(region, name, operation);
  const wanted = wantedOf(options);
  let spaces = opened.get(region);
  if (spaces === undefined) {
    spaces = new OpenSpaces(region);
    opened.set(region, spaces);
  }
  return spaces.open(name, wanted, (known) => {
    const { byteLength } = known;
    const pageShift = known.spread ? Math.log2(known.pageBytes) : 0;
    const consistency = known.spread ? known.consistency : 'sequential';
    const replicas = known.spread ? known.replicas : 1;
    const found = difference(wanted, { pageShift, consistency, replicas });
    if (found !== null) throw new IvshmemError('ERR_IVSHMEM_SPREAD_DIFFERS', { operation, on, found });
    if (wanted.mode === OPEN_NEW) throw new IvshmemError('ERR_IVSHMEM_SPACE_EXISTS', { operation, on });
    if (byteLength < wanted.bytes) throw new IvshmemError('ERR_IVSHMEM_SPACE_SIZE', { operation, on });
  });
}

export interface RemoveSpaceOptions {
  /**
   * Of a spread space: takes it from all members of all hosts that have it open, at once. What they do with it ends with
   * ERR_IVSHMEM_PAGES_REVOKED, and who opens the name from then on makes another space. Default false.
   */
  readonly force?: boolean;
}

/**
 * Has a space go with its last holder, if it was persistent; a spread one goes with the last on all hosts, and with it what synchronizes its
 * members. True when it is gone. Rejects with ERR_IVSHMEM_SPACE_MISSING, _SPACE_FORBIDDEN, _SPACES_ABSENT, ERR_IVSHMEM_SPREAD_DIFFERS (`force`
 * for one that is not spread), ERR_IVSHMEM_REFUSED (not enough hosts agree), ERR_IVSHMEM_SERVER_SILENT, ERR_IVSHMEM_CLOSED.
 */
export async function removeSpace(
  region: Region,
  name: string,
  { force = false }: RemoveSpaceOptions = {},
): Promise<boolean> {
  const operation = `remove the space ${name}`;
  const { on } = check(region, name, operation);
  const { control, words, header } = attachmentOf(region);
  if (force && readSpaces(words, header).some((space) => space.name === name && !space.spread)) {
    const found = 'it is not spread over hosts';
    throw new IvshmemError('ERR_IVSHMEM_SPREAD_DIFFERS', { operation, on, found });
  }
  const holders = await control.removeSpace(name, force);
  return force || holders === 0;
}

/** The spaces there are, whoever holds them: a snapshot of each. ERR_IVSHMEM_CLOSED once the region was left. */
export function spaces(region: Region): SpaceInfo[] {
  const { header, words } = checkRegion(region, 'list the spaces');
  return readSpaces(words, header).map(({ name, bytes, persistent, holders, creator, creatorEpoch }) => ({
    name,
    byteLength: bytes,
    persistent,
    holders,
    creator: { slot: creator, epoch: creatorEpoch },
  }));
}

function check(region: Region, name: string, operation: string): { on: string } {
  checkName(name, 'space', SPACE_NAME_BYTES);
  return { on: checkRegion(region, operation).device.on };
}

function checkRegion(region: Region, operation: string) {
  const attachment = attachmentOf(region);
  attachment.check(operation);
  const { header, device } = attachment;
  if (header.spacePage === 0) {
    const version = `1.${header.minor}`;
    throw new IvshmemError('ERR_IVSHMEM_SPACES_ABSENT', { operation, on: device.on, version });
  }
  return attachment;
}

function wantedOf({
  size,
  create = 'if-missing',
  persistent = false,
  spread = false,
  locks = false,
  consistency = 'sequential',
  replicas = 1,
  pageSize,
}: OpenSpaceOptions): Wanted {
  const refuse = (why: string): never => {
    throw new IvshmemError('ERR_IVSHMEM_SPACE_OPTIONS', { why });
  };
  if (size !== undefined && !(Number.isSafeInteger(size) && size >= 1 && size <= MOST_BYTES))
    refuse(`size is ${size}`);
  if (!Object.hasOwn(MODES, create)) refuse(`create is ${JSON.stringify(create)}`);
  if (create === 'always' && size === undefined) refuse('a space that is to be made has no size');
  if (!spread && pageSize !== undefined) refuse('pageSize is for a spread space');
  if (!spread && locks) refuse('locks is for a spread space');
  if (!CONSISTENCIES.includes(consistency)) refuse(`consistency is ${JSON.stringify(consistency)}`);
  if (!spread && consistency !== 'sequential') refuse('consistency is for a spread space');
  if (!(Number.isInteger(replicas) && replicas >= 1 && replicas <= MOST_REPLICAS))
    refuse(`replicas is ${replicas}`);
  if (replicas > 1 && consistency !== 'release')
    refuse('replicas is for a spread space with release consistency: a sequential page has one owner');
  const pageShift = spread ? pageShiftFor(size ?? 0, pageSize) : 0;
  const anyPage = pageSize === undefined;
  const shape = { bytes: size ?? 0, pageShift, anyPage, consistency, replicas };
  return { mode: MODES[create], persistent, ...shape, locks };
}
