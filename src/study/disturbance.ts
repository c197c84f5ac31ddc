import { type CpuTime, othersShare, readCpuTime } from './cpu-time.ts';

/** What is to be known of the machine beside a sample; another one for tests. */
export interface Surroundings {
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  /** The time of day. */
  date(): Date;
  /** Round trip of a cache line between the two processors, nanoseconds; null where nothing here can tell. */
  line(): Promise<number | null>;
  /** Begins to look at what others than this process and `pids` do; the function says what share of a processor they used. */
  watch(pids: () => readonly number[]): () => number;
}

/** This machine; `line` measures how near the processors are. */
export function surroundingsOf(line: () => Promise<number | null> = async () => null): Surroundings {
  return {
    now: () => performance.now(),
    date: () => new Date(),
    line,
    watch: (pids) => {
      const before: CpuTime = readCpuTime(pids());
      return () => othersShare(before, readCpuTime(pids()));
    },
  };
}
