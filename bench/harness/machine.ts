import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';

export interface Machine {
  readonly cpu: string;
  readonly cpus: number;
  readonly hypervisor: boolean;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly commandLine: string;
  readonly node: string;
  readonly compiler: string;
  readonly commit: string;
  readonly load: readonly number[];
  /** Vulnerabilities with a mitigation or open, as the kernel names them. */
  readonly mitigations: Readonly<Record<string, string>>;
  /** Levels and sizes of CPU 0's caches. */
  readonly caches: readonly string[];
  readonly at: string;
}

/** Describes what the numbers of this run depend on. What cannot be read is said to be unknown. */
export function describeMachine(): Machine {
  const cpuInfo = text('/proc/cpuinfo');
  return {
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cpus: os.availableParallelism(),
    hypervisor: /^flags.*\bhypervisor\b/m.test(cpuInfo),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    commandLine: kernelOptions(),
    node: process.version,
    compiler: output('cc', ['--version']).split('\n')[0] ?? 'unknown',
    commit: output('git', ['rev-parse', '--short', 'HEAD']),
    load: os.loadavg(),
    mitigations: mitigations(),
    caches: caches(),
    at: new Date().toISOString(),
  };
}

/** Only the options that change timing: the rest of the line names disks and hosts. */
function kernelOptions(): string {
  const telling = /^(mitigations|isolcpus|nohz|idle|haltpoll|cpuidle|intel_idle|processor|preempt)/;
  return text('/proc/cmdline')
    .split(' ')
    .filter((word) => telling.test(word))
    .join(' ');
}

function mitigations(): Record<string, string> {
  const folder = '/sys/devices/system/cpu/vulnerabilities';
  const result: Record<string, string> = {};
  for (const name of list(folder)) {
    const state = text(`${folder}/${name}`);
    if (!state.startsWith('Not affected')) result[name] = state;
  }
  return result;
}

function caches(): string[] {
  const folder = '/sys/devices/system/cpu/cpu0/cache';
  return list(folder)
    .filter((name) => name.startsWith('index'))
    .map((name) => {
      const read = (field: string) => text(`${folder}/${name}/${field}`);
      return `L${read('level')} ${read('type')} ${read('size')} shared by CPUs ${read('shared_cpu_list')}`;
    });
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    // Absent on some kernels and in containers; the description then says so.
    return 'unknown';
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function output(program: string, args: readonly string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}
