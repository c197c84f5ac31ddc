import { type App, type AppKind, cut, digestOf, PARTS, partsOf, raw } from './app.ts';

const SWEEPS = 40;

/** Heat in a square plate, hot at one edge: each sweep makes every point the mean of its neighbours. All meet after each. */
export const jacobi: AppKind = {
  name: 'jacobi',
  size: 1024,
  small: 64,
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
    const sweep = (number: number, part: number): void => {
      const [from, to] = [grids[number & 1]!, grids[1 - (number & 1)]!];
      const [first, end] = rows(part);
      for (let y = first; y < end; y++)
        for (let i = y * n + 1; i < y * n + n - 1; i++)
          to[i] = 0.25 * (from[i - n]! + from[i + n]! + from[i - 1]! + from[i + 1]!);
    };
    return {
      prepare() {},
      async together(members) {
        const parts = partsOf(members);
        await members.meet();
        for (const part of parts) reset(part);
        await members.meet();
        for (let number = 0; number < SWEEPS; number++) {
          for (const part of parts) sweep(number, part);
          await members.meet();
        }
      },
      async apart({ member, send, receive }) {
        reset(member);
        const [first, end] = rows(member);
        // The row of ours that the other needs, and the one of its that we need.
        const [mine, theirs] = member === 0 ? [end - 1, end] : [first, first - 1];
        for (const grid of grids) grid.fill(0, theirs * n, (theirs + 1) * n);
        for (let number = 0; number < SWEEPS; number++) {
          sweep(number, member);
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
