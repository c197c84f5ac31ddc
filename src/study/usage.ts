import { readdirSync, readFileSync } from 'node:fs';

/** What processes have used so far. */
export interface Usage {
  /** On a processor. */
  readonly cpuNs: number;
  /** Of their threads, whoever wanted them. */
  readonly switches: number;
}

/** Sums /proc/PID/task over all threads (proc(5), and schedstat of the scheduler's documentation). A thread that ended counts no more. */
export function readUsage(pids: readonly number[]): Usage {
  let [cpuNs, switches] = [0, 0];
  for (const pid of pids) {
    for (const tid of readdirSync(`/proc/${pid}/task`)) {
      const thread = `/proc/${pid}/task/${tid}`;
      const text = (name: string): string => {
        try {
          return readFileSync(`${thread}/${name}`, 'utf8');
        } catch (error) {
          // ENOENT, ESRCH: it has ended since the list was read.
          if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
          throw error;
        }
      };
      cpuNs += Number(text('schedstat').split(' ', 1)[0]);
      for (const [, count] of text('status').matchAll(/ctxt_switches:\t(\d+)/g)) switches += Number(count);
    }
  }
  return { cpuNs, switches };
}

export function usedBetween(before: Usage, after: Usage): Usage {
  return { cpuNs: after.cpuNs - before.cpuNs, switches: after.switches - before.switches };
}
