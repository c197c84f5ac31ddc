import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

/** Ticks of CPU time: of the whole machine, and of this process with the children it has waited for. */
export interface CpuTime {
  readonly busy: number;
  readonly own: number;
  readonly atMs: number;
}

const ticksPerSecond = 100;

/**
 * Reads both counters (/proc/stat, /proc/self/stat; proc(5)). Children count once they have been waited for; those in `pids`
 * are taken part of this process while they run.
 */
export function readCpuTime(pids: readonly number[] = []): CpuTime {
  const all = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.trim().split(/\s+/).slice(1).map(Number);
  // user, nice, system, idle, iowait, irq, softirq: everything but idle and iowait is work.
  const [user, nice, system, , , irq, softirq] = all;
  const own = pids.reduce((sum, pid) => sum + processTicks(pid), processTicks('self'));
  return { busy: user! + nice! + system! + irq! + softirq!, own, atMs: performance.now() };
}

function processTicks(process: string | number): number {
  // The command's name may hold spaces; the fields start after its closing parenthesis.
  const fields = readFileSync(`/proc/${process}/stat`, 'utf8').split(') ')[1]!.split(' ').map(Number);
  // Fields 14 to 17 of proc(5): utime, stime, cutime, cstime; the first field after the name is number 3.
  return fields[11]! + fields[12]! + fields[13]! + fields[14]!;
}

/** What others used between two readings, as a share of one CPU. */
export function othersShare(from: CpuTime, to: CpuTime): number {
  const others = (to.busy - from.busy - (to.own - from.own)) / ticksPerSecond;
  return Math.max(0, others) / Math.max(0.001, (to.atMs - from.atMs) / 1000);
}

/** Resolves when others (than this process and `pids`) have used less than `share` of one CPU for 300 ms, or after `limitMs`. */
export async function quiet(share: number, limitMs: number, pids: readonly number[] = []): Promise<void> {
  const deadline = performance.now() + limitMs;
  for (let from = readCpuTime(pids); performance.now() < deadline; ) {
    await setTimeout(300);
    const to = readCpuTime(pids);
    if (othersShare(from, to) < share) return;
    from = to;
  }
}
