import { type App, type AppKind, cut, digestOf, PARTS, partsOf, raw } from './app.ts';

const SWEEPS = 40;

/** Heat in a square plate, hot at one edge: each sweep makes every point the mean of its neighbours. All meet after each. */
export const jacobi: AppKind = {
  name: 'jacobi',
  size: 1024,
  small: 64,
  // A row of it.
  pageBytes: 8192,
  bytes: (n) => 2 * n * n * 8,
  on(buffer, n): App {
    const grids = [0, 1].map((g) => new Float64Array(buffer, g * n * n * 8, n * n)) as [
      Float64Array,
      Float64Array,
    ];
    const rows = (part: number): [number, number] => [1 + cut(part, n - 2), 1 + cut(part + 1, n - 2)];
    const reset = (part: number): void => {
      // The edges of the plate go with the parts beside them.
      const from = part === 0 ? 0 : rows(part)[0];
      const to = part === PARTS - 1 ? n : rows(part)[1];
      for (const grid of grids) {
        grid.fill(0, from * n, to * n);
        if (from === 0) grid.fill(100, 0, n);
      }
    };
    const sweep = (number: number, first: number, end: number): void => {
      const [from, to] = [grids[number & 1]!, grids[1 - (number & 1)]!];
      for (let y = first; y < end; y++)
        for (let i = y * n + 1; i < y * n + n - 1; i++)
          to[i] = 0.25 * (from[i - n]! + from[i + n]! + from[i - 1]! + from[i + 1]!);
    };
    /** The row of a part that the other part reads, and the row of the other that it reads itself. */
    const border = (part: number): [number, number] => {
      const [first, end] = rows(part);
      return part === 0 ? [end - 1, end] : [first, first - 1];
    };
    return {
      prepare() {},
      async together(members) {
        const parts = partsOf(members);
        await members.meet();
        for (const part of parts) reset(part);
        await members.meet();
        for (let number = 0; number < SWEEPS; number++) {
          for (const part of parts) {
            const [first, end] = rows(part);
            const [mine, theirs] = border(part);
            members.pages?.ahead(grids[number & 1]!, theirs * n, (theirs + 1) * n, 'read');
            members.pages?.ahead(grids[1 - (number & 1)]!, mine * n, (mine + 1) * n, 'write');
            // What needs the other's row, last: it is on its way.
            sweep(number, part === 0 ? first : first + 1, part === 0 ? end - 1 : end);
            sweep(number, mine, mine + 1);
          }
          await members.meet();
        }
      },
      async apart({ member, send, receive }) {
        reset(member);
        const [first, end] = rows(member);
        const [mine, theirs] = border(member);
        for (const grid of grids) grid.fill(0, theirs * n, (theirs + 1) * n);
        for (let number = 0; number < SWEEPS; number++) {
          sweep(number, first, end);
          const grid = grids[1 - (number & 1)]!;
          await send(raw(grid, mine * n, (mine + 1) * n));
          await receive(raw(grid, theirs * n, (theirs + 1) * n));
        }
        const rest = raw(grids[SWEEPS & 1]!, rows(1)[0] * n, n * n);
        await (member === 0 ? receive(rest) : send(rest));
      },
      digest: () => digestOf(grids[SWEEPS & 1]!),
    };
  },
};
