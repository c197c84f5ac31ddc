import type { SpreadSpace } from '../../../src/dsm/spread/space.ts';

/** Cells of the row, all of which are in one page, with those of the next round behind them. */
export const CELLS = 240;
const ROWS = 256;

/** What a round makes of a cell and its neighbours. */
const next = (left: number, own: number, right: number): number => (Math.imul(own, 3) + left - right) | 0;

/**
 * Rounds in which a party makes every cell whose number has its remainder anew, of the neighbours, which are others'. Between the rounds
 * all meet at a barrier. How many of all cells are wrong in the end.
 */
export async function halo(space: SpreadSpace, me: number, parties: number, rounds: number): Promise<number> {
  const barrier = space.barrier('halo', { parties });
  const rows = new Int32Array(space.buffer, 4096, 2 * ROWS);
  for (let cell = me; cell < CELLS; cell += parties) rows[cell] = cell;
  await barrier.arrive();
  for (let round = 0; round < rounds; round++) {
    const [from, to] = [(round % 2) * ROWS, ((round + 1) % 2) * ROWS];
    for (let cell = me; cell < CELLS; cell += parties) rows[to + cell] = made((at) => rows[from + at]!, cell);
    await barrier.arrive();
  }
  const expected = alone(rounds);
  const at = (rounds % 2) * ROWS;
  return expected.filter((value, cell) => rows[at + cell] !== value).length;
}

function made(row: (at: number) => number, cell: number): number {
  return next(row((cell + CELLS - 1) % CELLS), row(cell), row((cell + 1) % CELLS));
}

function alone(rounds: number): number[] {
  let row = Array.from({ length: CELLS }, (_, cell) => cell);
  for (let round = 0; round < rounds; round++) row = row.map((_, cell) => made((at) => row[at]!, cell));
  return row;
}
