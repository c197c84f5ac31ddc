/** What every benchmark that samples its contestants in turn can be told. */
export interface SamplingOptions {
  readonly json?: string;
  readonly rounds?: number;
  readonly ms?: number;
  readonly quick: boolean;
  readonly cpus: string;
  readonly seed: number;
  readonly maxOthers: number;
  readonly patience: number;
}

/** What a benchmark does unless it is told otherwise. */
export interface Pace {
  readonly rounds: number;
  /** Length of one sample. */
  readonly ms: number;
  /** How often a sample that others disturbed is taken again. */
  readonly maxRetries: number;
}

/** The settings that follow from the options; `look` is the pace of `--quick`. */
export function samplingOf(options: SamplingOptions, whole: Pace, look: Pace) {
  const pace = options.quick ? look : whole;
  return {
    rounds: options.rounds ?? pace.rounds,
    ms: options.ms ?? pace.ms,
    cpus: options.cpus.split(',').map(Number) as [number, number],
    seed: options.seed,
    maxOthers: options.maxOthers,
    maxRetries: pace.maxRetries,
    patienceMs: options.patience * 1000,
  };
}

/** The benchmarks that `--only` names: all without it. Ends the process when one is unknown. */
export function chosen<T extends { readonly id: string }>(all: readonly T[], only: string | undefined): T[] {
  const ids = only?.split(',');
  const unknown = ids?.filter((id) => !all.some((one) => one.id === id)) ?? [];
  if (unknown.length > 0) {
    const known = all.map(({ id }) => id).join(', ');
    process.stderr.write(`no such benchmark: ${unknown.join(', ')}; there are ${known}\n`);
    process.exit(2);
  }
  return all.filter(({ id }) => ids === undefined || ids.includes(id));
}
