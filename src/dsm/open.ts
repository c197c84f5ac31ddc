import { attachmentOf } from '../channel/attachments.ts';
import { checkName } from '../channel/checks.ts';
import type { Region } from '../channel/index.ts';
import { IvshmemError } from '../errors/index.ts';
import { OPEN_ANY, OPEN_EXISTING, OPEN_NEW, SPACE_NAME_BYTES } from '../memory/layout.ts';
import { readSpaces } from '../memory/space-table.ts';
import { OpenSpaces, type Wanted } from './open-spaces.ts';
import type { Space } from './space.ts';

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
 * Rejects with ERR_IVSHMEM_SPACE_MISSING (it is not there, and `create` is never or no size was given), _SPACE_EXISTS, _SPACE_SIZE (it is
 * smaller), _SPACE_OPTIONS, _SPACES_ABSENT (an older server made the region), _SPACE_MAP, ERR_IVSHMEM_REFUSED (memory or quota),
 * ERR_IVSHMEM_SERVER_SILENT, ERR_IVSHMEM_CLOSED.
 */
export async function openSpace(
  region: Region,
  name: string,
  options: OpenSpaceOptions = {},
): Promise<Space> {
  const operation = `open the space ${name}`;
  const { on } = check(region, name, operation);
  const wanted = wantedOf(options);
  let spaces = opened.get(region);
  if (spaces === undefined) {
    spaces = new OpenSpaces(region);
    opened.set(region, spaces);
  }
  return spaces.open(name, wanted, ({ byteLength }) => {
    if (wanted.mode === OPEN_NEW) throw new IvshmemError('ERR_IVSHMEM_SPACE_EXISTS', { operation, on });
    if (byteLength < wanted.bytes) throw new IvshmemError('ERR_IVSHMEM_SPACE_SIZE', { operation, on });
  });
}

/**
 * Has a space go with its last holder, if it was persistent. True when nobody held it and it is gone. Rejects with
 * ERR_IVSHMEM_SPACE_MISSING, _SPACES_ABSENT, ERR_IVSHMEM_SERVER_SILENT, ERR_IVSHMEM_CLOSED.
 */
export async function removeSpace(region: Region, name: string): Promise<boolean> {
  check(region, name, `remove the space ${name}`);
  return (await attachmentOf(region).control.removeSpace(name)) === 0;
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

function wantedOf({ size, create = 'if-missing', persistent = false }: OpenSpaceOptions): Wanted {
  const refuse = (why: string): never => {
    throw new IvshmemError('ERR_IVSHMEM_SPACE_OPTIONS', { why });
  };
  if (size !== undefined && !(Number.isSafeInteger(size) && size >= 1 && size <= MOST_BYTES))
    refuse(`size is ${size}`);
  if (!Object.hasOwn(MODES, create)) refuse(`create is ${JSON.stringify(create)}`);
  if (create === 'always' && size === undefined) refuse('a space that is to be made has no size');
  return { mode: MODES[create], persistent, bytes: size ?? 0 };
}
