import { readFileSync } from 'node:fs';
import { IvshmemError } from '../../errors/index.ts';
import { SPREAD } from './layout.ts';

/** What Linux has if nobody changed it. */
const USUAL_MAPPINGS = 65_530;

/** Pages of all spread spaces that are open in this thread: each may become a mapping of its own. */
let open = 0;

/** Half of the mappings that a process may have: the rest is for everybody else in it. */
function most(): number {
  try {
    return Number(readFileSync('/proc/sys/vm/max_map_count', 'utf8')) >> 1 || USUAL_MAPPINGS >> 1;
  } catch {
    return USUAL_MAPPINGS >> 1;
  }
}

/** log2 of the page size for a space that is to be made; the smallest that may be mapped when none was asked for. */
export function pageShiftFor(size: number, pageSize: number | undefined): number {
  const { minPageShift, maxPageShift } = SPREAD;
  if (pageSize === undefined) {
    let shift: number = minPageShift;
    while (shift < maxPageShift && pagesOf(size, shift) > most()) shift++;
    return shift;
  }
  const shift = Math.log2(pageSize);
  if (!Number.isInteger(shift) || shift < minPageShift || shift > maxPageShift)
    throw new IvshmemError('ERR_IVSHMEM_SPACE_OPTIONS', { why: `pageSize is ${pageSize}` });
  return shift;
}

/** Takes so many mappings into account; returns how to give them back. Throws ERR_IVSHMEM_SPREAD_PAGES when there may be too many. */
export function countPages(operation: string, size: number, shift: number): () => void {
  const pages = pagesOf(size, shift);
  const limit = most();
  if (open + pages > limit) {
    const params = { operation, pages, pageBytes: 2 ** shift, open, limit };
    throw new IvshmemError('ERR_IVSHMEM_SPREAD_PAGES', params);
  }
  open += pages;
  let counted = true;
  return () => {
    if (counted) open -= pages;
    counted = false;
  };
}

export const pagesOf = (size: number, shift: number): number => Math.ceil(size / 2 ** shift);
