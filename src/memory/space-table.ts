import type { RegionHeader } from './header.ts';
import {
  type Consistency,
  MAX_SPACES,
  PAGE_BYTES,
  SPACE_BYTES,
  SPACE_NAME_BYTES,
  SPACE_OPEN,
  SPACE_PERSISTENT,
  SPACE_RELEASE,
  SPACE_REPLICAS_SHIFT,
  SPACE_SPREAD,
  SPACE_W,
} from './layout.ts';
import { isName, readName } from './names.ts';

/** An entry of the space table, from a checked copy. */
export interface SpaceEntry {
  readonly number: number;
  readonly generation: number;
  readonly name: string;
  /** Of the user part. */
  readonly bytes: number;
  readonly firstPage: number;
  /** Of system part and user part. */
  readonly pages: number;
  readonly systemPages: number;
  readonly persistent: boolean;
  /** Its pages move between hosts: the parts are a control part and frames, which may be fewer than it has pages. */
  readonly spread: boolean;
  readonly consistency: Consistency;
  /** Hosts that are to have each page. */
  readonly replicas: number;
  readonly holders: number;
  /** Slot of who made it. */
  readonly creator: number;
  readonly creatorEpoch: number;
}

/** One entry of a region that has spaces; null when it is free or makes no sense. `words`: live, header and tables. */
export function readSpace(words: Int32Array, header: RegionHeader, number: number): SpaceEntry | null {
  const at = (header.spacePage * PAGE_BYTES + number * SPACE_BYTES) / 4;
  // Acquire: pairs with the server's release of state.
  if (Atomics.load(words, at + SPACE_W.state) !== SPACE_OPEN) return null;
  const copy = words.slice(at, at + SPACE_BYTES / 4);
  const word = (field: number): number => copy[field]! >>> 0;
  const entry = {
    number,
    generation: word(SPACE_W.generation),
    name: readName(copy, SPACE_W.name, SPACE_NAME_BYTES),
    bytes: word(SPACE_W.bytesLow) + word(SPACE_W.bytesHigh) * 2 ** 32,
    firstPage: word(SPACE_W.firstPage),
    pages: word(SPACE_W.pages),
    systemPages: word(SPACE_W.systemPages),
    persistent: (word(SPACE_W.flags) & SPACE_PERSISTENT) !== 0,
    spread: (word(SPACE_W.flags) & SPACE_SPREAD) !== 0,
    consistency: consistencyOf(word(SPACE_W.flags)),
    replicas: ((word(SPACE_W.flags) >>> SPACE_REPLICAS_SHIFT) & 0xff) + 1,
    holders: word(SPACE_W.holders),
    creator: word(SPACE_W.creator),
    creatorEpoch: word(SPACE_W.creatorEpoch),
  };
  return makesSense(entry, header) ? entry : null;
}

/** All that the table holds; none in a region without spaces. */
export function readSpaces(words: Int32Array, header: RegionHeader): SpaceEntry[] {
  if (header.spacePage === 0) return [];
  const entries: SpaceEntry[] = [];
  for (let number = 0; number < MAX_SPACES; number++) {
    const entry = readSpace(words, header, number);
    if (entry !== null) entries.push(entry);
  }
  return entries;
}

const consistencyOf = (flags: number): Consistency =>
  (flags & SPACE_RELEASE) === 0 ? 'sequential' : 'release';

function makesSense(entry: SpaceEntry, { heapPage, regionPages }: RegionHeader): boolean {
  const { firstPage, pages, systemPages, bytes, name, spread } = entry;
  return (
    firstPage >= heapPage &&
    firstPage + pages <= regionPages &&
    systemPages > 0 &&
    systemPages < pages &&
    bytes > 0 &&
    (spread || bytes <= (pages - systemPages) * PAGE_BYTES) &&
    isName(name, SPACE_NAME_BYTES)
  );
}
