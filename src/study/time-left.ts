import type { Planned } from './results.ts';

/** How long what is left will take, by what samples of the same experiment took. */
export class TimeLeft {
  readonly #took = new Map<string, { sum: number; count: number }>();
  readonly #left = new Map<string, number>();

  constructor(planned: readonly Planned[]) {
    for (const one of planned) this.#left.set(groupOf(one), (this.#left.get(groupOf(one)) ?? 0) + 1);
  }

  done(planned: Planned, ms: number): void {
    const group = groupOf(planned);
    const { sum, count } = this.#took.get(group) ?? { sum: 0, count: 0 };
    this.#took.set(group, { sum: sum + ms, count: count + 1 });
    this.#left.set(group, this.#left.get(group)! - 1);
  }

  /** Milliseconds; null while nothing is known. An experiment that has not begun is taken for an average one. */
  get estimate(): number | null {
    const all = [...this.#took.values()];
    const count = all.reduce((n, one) => n + one.count, 0);
    if (count === 0) return null;
    const mean = all.reduce((n, one) => n + one.sum, 0) / count;
    let ms = 0;
    for (const [group, left] of this.#left) {
      const known = this.#took.get(group);
      ms += left * (known === undefined ? mean : known.sum / known.count);
    }
    return ms;
  }
}

const groupOf = ({ experiment, where }: Planned): string => `${where} ${experiment}`;

/** `40 s`, `3 min`, `1 h 20 min`. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
