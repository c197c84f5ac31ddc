import { readdirSync, readFileSync } from 'node:fs';

/** What the threads of some processes have done so far, by `pid/tid`. */
export type Activity = ReadonlyMap<string, ThreadActivity>;

export interface ThreadActivity {
  /** Of the thread, as the kernel shows it. */
  readonly name: string;
  /** Voluntary context switches: each follows a wake-up. */
  readonly switches: number;
  /** Nanoseconds on a CPU. */
  readonly cpuNs: number;
}

/** Reads /proc/PID/task of each process. Nothing wakes for it. */
export function readActivity(pids: readonly number[]): Activity {
  const all = new Map<string, ThreadActivity>();
  for (const pid of pids) {
    for (const tid of readdirSync(`/proc/${pid}/task`)) {
      const thread = `/proc/${pid}/task/${tid}`;
      const status = readFileSync(`${thread}/status`, 'utf8');
      all.set(`${pid}/${tid}`, parseThread(status, readFileSync(`${thread}/schedstat`, 'utf8')));
    }
  }
  return all;
}

/** From the text of status (proc(5)) and schedstat (scheduler's documentation: time on the CPU first, nanoseconds). */
export function parseThread(status: string, schedstat: string): ThreadActivity {
  const name = /^Name:\t(.*)$/m.exec(status)?.[1];
  const switches = /^voluntary_ctxt_switches:\t(\d+)$/m.exec(status)?.[1];
  const cpuNs = /^(\d+) \d+ \d+$/m.exec(schedstat)?.[1];
  if (name === undefined || switches === undefined || cpuNs === undefined)
    throw new Error('the kernel shows no context switches or no CPU time of threads');
  return { name, switches: Number(switches), cpuNs: Number(cpuNs) };
}

/** The sum over all threads, and by `pid/tid name` of those that were awake. A thread that began in between counts from zero. */
export function difference(before: Activity, after: Activity) {
  let [switches, cpuNs] = [0, 0];
  const awake: Record<string, number> = {};
  for (const [id, thread] of after) {
    const earlier = before.get(id);
    const more = thread.switches - (earlier?.switches ?? 0);
    switches += more;
    cpuNs += thread.cpuNs - (earlier?.cpuNs ?? 0);
    if (more > 0) awake[`${id} ${thread.name}`] = more;
  }
  return { switches, cpuNs, awake };
}
