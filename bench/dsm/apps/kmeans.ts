import { APART_BYTES, type App, type AppKind, cut, digestOf, numbers, PARTS, partsOf, raw } from './app.ts';

const [DIMENSIONS, CLUSTERS, ROUNDS] = [4, 16, 10] as const;
/** Of each cluster: the sum of its points, and how many they are. */
const SUM = CLUSTERS * (DIMENSIONS + 1);

const sumsAt = (n: number): number => Math.ceil((n * DIMENSIONS * 8) / APART_BYTES) * APART_BYTES;

/** Points fall to the nearest of some centres, which move to the middle of theirs, again and again. All meet in each round. */
export const kmeans: AppKind = {
  name: 'kmeans',
  size: 1 << 16,
  small: 1000,
  pageBytes: 4096,
  bytes: (n) => sumsAt(n) + 2 * PARTS * APART_BYTES,
  on(buffer, n): App {
    const points = new Float64Array(buffer, 0, n * DIMENSIONS);
    // Two sets in turn: one round is read while the next is written, and one meeting a round is enough.
    const sums = [0, 1].map((set) =>
      Array.from(
        { length: PARTS },
        (_, part) => new Float64Array(buffer, sumsAt(n) + (set * PARTS + part) * APART_BYTES, SUM),
      ),
    );
    const centres = new Float64Array(CLUSTERS * DIMENSIONS);
    const sum = new Float64Array(SUM);
    const gather = (part: number, result: Float64Array): void => {
      sum.fill(0);
      const end = cut(part + 1, n) * DIMENSIONS;
      for (let at = cut(part, n) * DIMENSIONS; at < end; at += DIMENSIONS) {
        const [x, y, z, w] = [points[at]!, points[at + 1]!, points[at + 2]!, points[at + 3]!];
        let nearest = 0;
        let least = Number.POSITIVE_INFINITY;
        for (let k = 0; k < CLUSTERS; k++) {
          const c = k * DIMENSIONS;
          const [dx, dy, dz, dw] = [
            x - centres[c]!,
            y - centres[c + 1]!,
            z - centres[c + 2]!,
            w - centres[c + 3]!,
          ];
          const distance = dx * dx + dy * dy + dz * dz + dw * dw;
          if (distance < least) {
            least = distance;
            nearest = k;
          }
        }
        const s = nearest * (DIMENSIONS + 1);
        sum[s]! += x;
        sum[s + 1]! += y;
        sum[s + 2]! += z;
        sum[s + 3]! += w;
        sum[s + 4]! += 1;
      }
      result.set(sum);
    };
    const move = (set: Float64Array[]): void => {
      for (let k = 0; k < CLUSTERS; k++) {
        const total = (d: number): number =>
          set.reduce((all, sum) => all + sum[k * (DIMENSIONS + 1) + d]!, 0);
        const count = total(DIMENSIONS);
        if (count > 0) for (let d = 0; d < DIMENSIONS; d++) centres[k * DIMENSIONS + d] = total(d) / count;
      }
    };
    const begin = (): void => centres.set(points.subarray(0, centres.length));
    return {
      prepare: () => numbers(points, 1),
      async together(members) {
        const parts = partsOf(members);
        await members.meet();
        begin();
        for (let round = 0; round < ROUNDS; round++) {
          const set = sums[round & 1]!;
          for (const part of parts) {
            members.pages?.ahead(set[part]!, 0, SUM, 'write');
            gather(part, set[part]!);
          }
          await members.meet();
          move(set);
        }
      },
      async apart({ member, send, receive }) {
        const pass = member === 0 ? send : receive;
        if (member === 0) begin();
        await pass(raw(centres));
        await pass(raw(points, cut(1, n) * DIMENSIONS));
        for (let round = 0; round < ROUNDS; round++) {
          const set = sums[round & 1]!;
          gather(member, set[member]!);
          await send(raw(set[member]!));
          await receive(raw(set[1 - member]!));
          move(set);
        }
      },
      digest: () => digestOf(centres),
    };
  },
};
