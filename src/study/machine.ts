import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import type { StudyMachine } from './results.ts';

/** What figures depend on, as far as a process can read it; what cannot be read is 'unknown'. `known`: what the caller knows better. */
export function describeMachine(
  known: Partial<Pick<StudyMachine, 'name' | 'accelerator' | 'version' | 'commit'>> = {},
): StudyMachine {
  return {
    name: known.name ?? os.hostname(),
    at: new Date().toISOString(),
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cpus: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    hypervisor: /^flags.*\bhypervisor\b/m.test(text('/proc/cpuinfo')),
    caches: caches(),
    kernel: os.release(),
    kernelOptions: kernelOptions(),
    node: process.version,
    version: known.version ?? 'unknown',
    commit: known.commit ?? 'unknown',
    qemu: output('qemu-system-x86_64', ['--version']).split('\n')[0]!,
    accelerator: known.accelerator ?? 'unknown',
    mitigations: mitigations(),
    load: os.loadavg(),
  };
}

/** Of the checkout that this process works in. */
export const checkoutCommit = (): string => output('git', ['rev-parse', '--short', 'HEAD']);

/** Only the options that change timing: the rest of the line names disks and hosts. */
export function kernelOptions(): string {
  const telling = /^(mitigations|isolcpus|nohz|idle|haltpoll|cpuidle|intel_idle|processor|preempt)/;
  return text('/proc/cmdline')
    .split(' ')
    .filter((word) => telling.test(word))
    .join(' ');
}

/** Vulnerabilities with a mitigation or open, as the kernel names them. */
export function mitigations(): Record<string, string> {
  const folder = '/sys/devices/system/cpu/vulnerabilities';
  const result: Record<string, string> = {};
  for (const name of list(folder)) {
    const state = text(`${folder}/${name}`);
    if (!state.startsWith('Not affected')) result[name] = state;
  }
  return result;
}

/** Levels and sizes of CPU 0's caches. */
export function caches(): string[] {
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

/** What a program prints, or 'unknown' where it is not there. */
export function output(program: string, args: readonly string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}
