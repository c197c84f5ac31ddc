import type { Usage } from '../usage.ts';
import type { Begin, Taken } from './commands.ts';
import type { Path } from './paths.ts';

/** What is asked of a path, without how long. */
export type Wanted = Omit<Begin, 'op' | 'ms' | 'warmUpMs' | 'leastBytes'>;

/** How long it is measured. */
export interface Pace {
  /** Length of one sample, and least length of its warm-up, milliseconds. */
  readonly ms: number;
  readonly warmUpMs: number;
  /** Of what a batch of messages holds at least. */
  readonly leastBytes: number;
}

export interface EndResult extends Taken {
  /** What both sides used during the sample, warm-up not included. */
  readonly used: Usage;
}

/** Programs between which paths are measured: of this host, or of VMs. */
export interface Ends extends AsyncDisposable {
  /** Takes a sample. @throws Error when it gives no number; the programs of the path are made anew then. */
  take(path: Path, wanted: Wanted): Promise<EndResult>;
  /** Everything whose use of processors is not that of others. */
  readonly pids: readonly number[];
}
