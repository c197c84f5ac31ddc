import { besideEachOther, type Cell, cellsOf } from './cells.ts';
import { noisePairs } from './noise.ts';
import { readStudy } from './read.ts';
import type { Study } from './results.ts';
import { adjusted, type Comparison, compare } from './statistics.ts';

/** What became of a figure from one study to the other. `noise`: nothing that these samples can tell from chance. */
export type Change = 'better' | 'worse' | 'noise' | 'appeared' | 'disappeared';

export interface DiffRow {
  readonly before: Cell | null;
  readonly after: Cell | null;
  readonly change: Change;
  /** Null where one of the studies has no number. */
  readonly comparison: Comparison | null;
  /** The p-value among all points that were compared. */
  readonly p: number;
  /** How many times its like differ when nothing does: the larger of the two studies' noise floors. */
  readonly floor: number;
}

export interface Diff {
  readonly before: Study;
  readonly after: Study;
  readonly rows: readonly DiffRow[];
  /** What a reader should know before the rows: other machines, too few rounds. */
  readonly notes: readonly string[];
}

/** The share of what is called changed that may be so by chance. */
export const FALSE_SHARE = 0.05;

/**
 * Compares two studies' folders, point by point.
 * @throws IvshmemError ERR_IVSHMEM_STUDY_FOLDER, ERR_IVSHMEM_STUDY_FILE as `readStudy` does.
 */
export function diffStudies(before: string, after: string): Diff {
  return diffOf(readStudy(before), readStudy(after));
}

export function diffOf(before: Study, after: Study): Diff {
  const [old, now] = [cellsOf(before), cellsOf(after)];
  const floors = [noiseFloors(old), noiseFloors(now)];
  const byKey = new Map(now.map((cell) => [cell.key, cell]));
  const pairs: (readonly [Cell | null, Cell | null])[] = [
    ...old.map((cell) => [cell, byKey.get(cell.key) ?? null] as const),
    ...now.filter(({ key }) => !old.some((cell) => cell.key === key)).map((cell) => [null, cell] as const),
  ];
  const compared = pairs.map(([a, b]) =>
    a !== null && b !== null && comparable(a) && comparable(b) ? compare(numbers(a), numbers(b)) : null,
  );
  const told = adjusted(compared.flatMap((each) => (each === null ? [] : [each.p])));
  let next = 0;
  const rows = pairs.map(([a, b], index): DiffRow => {
    const comparison = compared[index]!;
    const floor = Math.max(...floors.map((each) => each(a ?? b!)));
    if (comparison === null) return { before: a, after: b, change: lost(a, b), comparison, p: 1, floor };
    const p = told[next++]!;
    return { before: a, after: b, change: changeOf(b!, comparison, p, floor), comparison, p, floor };
  });
  return { before, after, rows, notes: notesOf(before, after, rows) };
}

/** Ratios need numbers above zero. */
const comparable = ({ values }: Cell): boolean => values.length > 0 && values.every(({ value }) => value > 0);
const numbers = ({ values }: Cell): number[] => values.map(({ value }) => value);

function lost(before: Cell | null, after: Cell | null): Change {
  if ((before?.values.length ?? 0) === 0) return (after?.values.length ?? 0) === 0 ? 'noise' : 'appeared';
  return (after?.values.length ?? 0) === 0 ? 'disappeared' : 'noise';
}

/** Changed: unlikely by chance, and more than the same thing differs from itself. */
function changeOf(cell: Cell, { ratio }: Comparison, p: number, floor: number): Change {
  const times = Math.max(ratio.value, 1 / ratio.value);
  if (p >= FALSE_SHARE || times <= floor) return 'noise';
  return ratio.value > 1 === (cell.better === 'higher') ? 'better' : 'worse';
}

/** How many times the same thing differed from itself in a study, by where and metric; 1 where that was not measured. */
function noiseFloors(cells: readonly Cell[]): (cell: Cell) => number {
  const floors = new Map<string, number>();
  for (const set of besideEachOther(cells.filter(({ experiment }) => experiment === 'noise')))
    for (const { cell, ratio } of noisePairs(set)) {
      const key = `${cell.where} ${cell.metric}`;
      floors.set(key, Math.max(floors.get(key) ?? 1, ratio.value, 1 / ratio.value));
    }
  return ({ where, metric }) => floors.get(`${where} ${metric}`) ?? 1;
}

function notesOf(before: Study, after: Study, rows: readonly DiffRow[]): string[] {
  const notes: string[] = [];
  for (const name of ['cpu', 'cpus', 'kernel', 'node', 'qemu', 'accelerator'] as const)
    if (before.machine[name] !== after.machine[name])
      notes.push(`${name}: ${before.machine[name]} before, ${after.machine[name]} after`);
  const compared = rows.flatMap(({ comparison }) => (comparison === null ? [] : [comparison]));
  const least = Math.min(...compared.map((each) => each.least));
  if (compared.length > 0 && least >= FALSE_SHARE)
    notes.push(
      `too few rounds: lists so short give no p below ${least.toPrecision(2)}, so that nothing can be told from noise`,
    );
  else if (compared.length > 0 && least * compared.length >= FALSE_SHARE)
    notes.push(
      `few rounds: one change among ${compared.length} points cannot be told from noise, ${Math.ceil((least * compared.length) / FALSE_SHARE)} of them can`,
    );
  return notes;
}
