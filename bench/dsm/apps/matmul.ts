import { type App, type AppKind, cut, digestOf, numbers, partsOf, raw } from './app.ts';

/** The product of two matrices, row by row of the result. */
export const matmul: AppKind = {
  name: 'matmul',
  size: 400,
  small: 30,
  pageBytes: 4096,
  bytes: (n) => 3 * n * n * 8,
  on(buffer, n): App {
    const matrix = (place: number): Float64Array => new Float64Array(buffer, place * n * n * 8, n * n);
    const [a, b, c] = [matrix(0), matrix(1), matrix(2)];
    const multiply = (part: number): void => {
      const end = cut(part + 1, n);
      for (let y = cut(part, n); y < end; y++) {
        const row = c.subarray(y * n, (y + 1) * n).fill(0);
        for (let k = 0; k < n; k++) {
          const factor = a[y * n + k]!;
          for (let x = 0, at = k * n; x < n; x++, at++) row[x]! += factor * b[at]!;
        }
      }
    };
    return {
      prepare: () => numbers(new Float64Array(buffer, 0, 2 * n * n), 1),
      async together(members) {
        await members.meet();
        for (const part of partsOf(members)) multiply(part);
        await members.meet();
      },
      async apart({ member, send, receive }) {
        const pass = member === 0 ? send : receive;
        await pass(raw(b));
        await pass(raw(a, cut(1, n) * n));
        multiply(member);
        const result = raw(c, cut(1, n) * n);
        await (member === 0 ? receive(result) : send(result));
      },
      digest: () => digestOf(c),
    };
  },
};
