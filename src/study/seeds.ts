import type { Cell } from './cells.ts';
import { criteria } from './claims.ts';
import type { Estimate } from './statistics.ts';

/** What a criterion asks of samples, and where it was read. Above `least` is better than asked. */
export interface Reading {
  readonly factor: Estimate;
  /** Where: '64 B, two virtual machines'. */
  readonly at: string;
}

/** One statement of a seed, or a goal of ours that goes beyond it, as a question to the samples. */
export interface Criterion {
  /** The paper's system. */
  readonly seed: string;
  /** `claim`: the paper says so. `goal`: we ask it of ourselves. */
  readonly kind: 'claim' | 'goal';
  readonly text: string;
  /** What was compared: 'sockets on shared memory / TCP over virtio-net'. */
  readonly compared: string;
  /** The factor that is asked for. */
  readonly least: number;
  /** Of several readings the best counts for what somebody reached ("up to"), the worst for what must hold everywhere. */
  readonly counts: 'best' | 'worst';
  readonly read: (cells: readonly Cell[]) => Reading[];
  /** What measures it, where a study did not. */
  readonly how: string;
}

export type Verdict = 'beaten' | 'met' | 'not met' | 'not measured';

export interface SeedRow extends Omit<Criterion, 'read' | 'how'> {
  readonly verdict: Verdict;
  /** The reading that counts; null where nothing was measured. */
  readonly reading: Reading | null;
  /** How many points were read. */
  readonly points: number;
  /** Why there is no verdict, where there is none. */
  readonly why: string;
}

/** A verdict takes so many rounds: an interval of fewer says next to nothing. */
export const FEWEST_ROUNDS = 3;

/** Every claim beside what was measured. Verdicts come from the samples alone. */
export function seedRows(cells: readonly Cell[], asked: readonly Criterion[] = criteria): SeedRow[] {
  return asked.map(({ read, how, ...criterion }) => {
    const readings = read(cells);
    const sign = criterion.counts === 'best' ? -1 : 1;
    const [reading = null] = [...readings].sort((a, b) => sign * (a.factor.value - b.factor.value));
    return { ...criterion, reading, points: readings.length, ...judged(reading, criterion.least, how) };
  });
}

/** Beaten: all of the interval is above what was claimed. Met: the median is not below it. */
function judged(reading: Reading | null, least: number, how: string): { verdict: Verdict; why: string } {
  if (reading === null)
    return { verdict: 'not measured', why: `no samples of it in this study; measured by ${how}` };
  const { value, low, n } = reading.factor;
  if (n < FEWEST_ROUNDS)
    return { verdict: 'not measured', why: `${n} rounds are too few for a verdict (${FEWEST_ROUNDS})` };
  return { verdict: low > least ? 'beaten' : value >= least ? 'met' : 'not met', why: '' };
}
