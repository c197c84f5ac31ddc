import {
  caches,
  checkoutCommit,
  describeMachine as describe,
  kernelOptions,
  mitigations,
  output,
} from '../../src/study/machine.ts';

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
  const { cpu, cpus, hypervisor, memoryGiB, kernel, node, commit, load, at } = describe({
    commit: checkoutCommit(),
  });
  const compiler = output('cc', ['--version']).split('\n')[0]!;
  const own = { commandLine: kernelOptions(), mitigations: mitigations(), caches: caches() };
  return { cpu, cpus, hypervisor, memoryGiB, kernel, node, compiler, commit, load, at, ...own };
}
