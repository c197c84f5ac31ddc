import { type App, type AppKind, cut, digestOf, numbers, PARTS, partsOf, raw } from './app.ts';

const SAMPLE = 1023;
const FEW = 24;

function insertion(a: Int32Array, low: number, high: number): void {
  for (let i = low + 1; i <= high; i++) {
    const value = a[i]!;
    let at = i - 1;
    for (; at >= low && a[at]! > value; at--) a[at + 1] = a[at]!;
    a[at + 1] = value;
  }
}

/** Hoare's partition: everything up to what it returns is at most the pivot, everything after it at least. */
function partition(a: Int32Array, low: number, high: number, pivot: number): number {
  for (let i = low, j = high; ; i++, j--) {
    while (a[i]! < pivot) i++;
    while (a[j]! > pivot) j--;
    if (i >= j) return j;
    const value = a[i]!;
    a[i] = a[j]!;
    a[j] = value;
  }
}

function quicksort(a: Int32Array, low: number, high: number): void {
  while (high - low > FEW) {
    const [x, y, z] = [a[low]!, a[(low + high) >> 1]!, a[high]!];
    const middle = Math.max(Math.min(x, y), Math.min(Math.max(x, y), z));
    const at = partition(a, low, high, middle);
    if (at - low < high - at) {
      quicksort(a, low, at);
      low = at + 1;
    } else {
      quicksort(a, at + 1, high);
      high = at;
    }
  }
  insertion(a, low, high);
}

/** Sorts numbers: one member parts them at the median of a sample, then each sorts a side. */
export const quicksortApp: AppKind = {
  name: 'quicksort',
  size: 1 << 20,
  small: 5000,
  pageBytes: 65536,
  bytes: (n) => (2 * n + 16) * 4,
  on(buffer, n): App {
    const input = new Int32Array(buffer, 64, n);
    const work = new Int32Array(buffer, 64 + n * 4, n);
    const parted = new Int32Array(buffer, 0, 1);
    const copy = (part: number): void =>
      void work.set(input.subarray(cut(part, n), cut(part + 1, n)), cut(part, n));
    const part = (): number => {
      const sample = Int32Array.from({ length: SAMPLE }, (_, i) => work[Math.floor((i * n) / SAMPLE)]!);
      return partition(work, 0, n - 1, sample.sort()[SAMPLE >> 1]!);
    };
    const sort = (side: number, at: number): void =>
      side === 0 ? quicksort(work, 0, at) : quicksort(work, at + 1, n - 1);
    return {
      prepare: () => numbers(input, 2 ** 31),
      async together(members) {
        const parts = partsOf(members);
        await members.meet();
        for (const part of parts) copy(part);
        await members.meet();
        // All of it in one request, and no fault for each page.
        if (members.member === 0) {
          await members.pages?.bring(work, 0, n, 'write');
          parted[0] = part();
        }
        await members.meet();
        for (const side of parts) {
          const [from, to] = side === 0 ? [0, parted[0]!] : [parted[0]! + 1, n];
          if (from < to) await members.pages?.bring(work, from, to, 'write');
          sort(side, parted[0]!);
        }
        await members.meet();
      },
      async apart({ member, send, receive }) {
        if (member === 0) {
          for (let p = 0; p < PARTS; p++) copy(p);
          parted[0] = part();
          await send(raw(parted));
          await send(raw(work, parted[0]! + 1));
        } else {
          await receive(raw(parted));
          await receive(raw(work, parted[0]! + 1));
        }
        sort(member, parted[0]!);
        const side = raw(work, parted[0]! + 1);
        await (member === 0 ? receive(side) : send(side));
      },
      digest() {
        for (let i = 1; i < n; i++) if (work[i - 1]! > work[i]!) return 0;
        return digestOf(work);
      },
    };
  },
};
