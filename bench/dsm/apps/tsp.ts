import { randomSource } from '../../harness/statistics.ts';
import { APART_BYTES, type App, type AppKind, raw } from './app.ts';

/** Words of the buffer: the shortest tour that is known, the next task, then the distances. */
const [BEST, NEXT, DISTANCES] = [0, APART_BYTES / 4, APART_BYTES / 2] as const;
const DONE = -1;
/** Tasks that a member takes at once: taking them may cost as much as one of them. */
const FEW = 4;

/**
 * The shortest tour through all cities, by branch and bound. A task is the first three cities of tours; members take one after
 * the other, and look at the shortest tour that any of them has found.
 */
export const tsp: AppKind = {
  name: 'tsp',
  size: 14,
  small: 8,
  pageBytes: 4096,
  bytes: (n) => (DISTANCES + n * n) * 4,
  on(buffer, n): App {
    const words = new Int32Array(buffer, 0, DISTANCES + n * n);
    const distances = words.subarray(DISTANCES);
    const tasks = (n - 1) * (n - 2);
    // What it takes at least to leave each city: filled in where a run begins, for the input comes by then.
    const leave = new Int32Array(n);
    const learn = (): void => {
      for (let from = 0; from < n; from++) {
        leave[from] = 2 ** 30;
        for (let to = 0; to < n; to++)
          if (to !== from) leave[from] = Math.min(leave[from]!, distances[from * n + to]!);
      }
    };
    const offer = (length: number): void => {
      for (let best = Atomics.load(words, BEST); length < best; best = Atomics.load(words, BEST))
        if (Atomics.compareExchange(words, BEST, best, length) === best) return;
    };
    /** `bound`: what it takes at least to leave the last city and all that were not seen. */
    const extend = (last: number, seen: number, length: number, bound: number): void => {
      if (seen === (1 << n) - 1) {
        offer(length + distances[last * n]!);
        return;
      }
      for (let city = 1; city < n; city++) {
        if ((seen & (1 << city)) !== 0) continue;
        const to = length + distances[last * n + city]!;
        if (to + bound - leave[last]! < words[BEST]!)
          extend(city, seen | (1 << city), to, bound - leave[last]!);
      }
    };
    const search = (task: number): void => {
      const first = 1 + Math.floor(task / (n - 2));
      let second = 1 + (task % (n - 2));
      if (second >= first) second++;
      const length = distances[first]! + distances[first * n + second]!;
      const all = leave.reduce((sum, least) => sum + least, 0);
      extend(second, 1 | (1 << first) | (1 << second), length, all - leave[0]! - leave[first]!);
    };
    return {
      prepare() {
        const random = randomSource(11);
        const places = Array.from({ length: n }, () => [random() * 1e4, random() * 1e4] as const);
        for (let i = 0; i < n * n; i++) {
          const [a, b] = [places[Math.floor(i / n)]!, places[i % n]!];
          distances[i] = Math.round(Math.hypot(a[0] - b[0], a[1] - b[1]));
        }
      },
      async together(members) {
        if (members.member === 0) {
          Atomics.store(words, NEXT, 0);
          Atomics.store(words, BEST, 2 ** 30);
        }
        await members.meet();
        learn();
        for (let from = Atomics.add(words, NEXT, FEW); from < tasks; from = Atomics.add(words, NEXT, FEW))
          for (let task = from; task < Math.min(from + FEW, tasks); task++) search(task);
        await members.meet();
      },
      async apart({ member, send, receive, poll }) {
        const asks = new Int32Array(1); // the shortest tour that member 1 knows
        const task = new Int32Array(2); // a task, and the shortest tour that member 0 knows
        words[BEST] = 2 ** 30;
        if (member === 1) {
          // One task ahead, for member 0 answers between two of its own.
          await receive(raw(distances));
          learn();
          await send(raw(asks.fill(words[BEST]!)));
          for (;;) {
            await receive(raw(task));
            offer(task[1]!);
            if (task[0] === DONE) break;
            const number = task[0]!;
            await send(raw(asks.fill(words[BEST]!)));
            search(number);
          }
          await send(raw(asks.fill(words[BEST]!)));
          return;
        }
        learn();
        await send(raw(distances));
        let next = 0;
        const answer = async (): Promise<void> => {
          offer(asks[0]!);
          task[0] = next < tasks ? next++ : DONE;
          task[1] = words[BEST]!;
          await send(raw(task));
        };
        while (next < tasks) {
          if (poll(raw(asks))) await answer();
          if (next < tasks) search(next++);
        }
        do {
          await receive(raw(asks));
          await answer();
        } while (task[0] !== DONE);
        await receive(raw(asks));
        offer(asks[0]!);
      },
      digest: () => words[BEST]!,
    };
  },
};
