import { z } from 'zod';

/** A level of a factor: bytes, a share, a name. */
const level = z.union([z.string(), z.number()]);

/**
 * A line of samples.jsonl: one contestant measured once. What fails gives a line, too (`value` null, `failed` says why): a point
 * that is not there was not tried.
 */
export const sampleSchema = z.object({
  /** 'noise' | 'size' | 'mix' | 'count' | 'detection' | 'switch' | 'factors' | 'dsm' | 'applications' | 'cost'. */
  experiment: z.string().min(1),
  where: z.enum(['native', 'vm']),
  /** Levels of the factors: { bytes: 64 }, { remote: 30 }, { members: 8 }, { factor: 'ring-depth', level: 256, bytes: 64 }. */
  point: z.record(z.string(), level),
  /** The contestant: 'shared-memory' | 'channel' | 'tun' | 'virtio-net' | 'unix' | 'tcp' | 'zeromq' | ... */
  path: z.string().min(1),
  /** 'round-trip' | 'throughput' | 'rate' | 'time' | 'cpu' | 'context-switches' ... */
  metric: z.string().min(1),
  /** 'ns' | 'B/s' | 'msg/s' | 'op/s' | 's/GiB' ... */
  unit: z.string(),
  better: z.enum(['lower', 'higher']),
  /** From 1. */
  round: z.int().min(1),
  /** When it ended, ISO 8601. */
  at: z.iso.datetime(),
  /** Its median or its rate; null: it gave no number. */
  value: z.number().nullable(),
  /** The single measurements, where there are many: an HdrHistogram, compressed and in base64. */
  histogram: z.string().optional(),
  /** Round trip of one cache line between the two processors just before, nanoseconds: how near they were to each other. */
  lineNs: z.number().optional(),
  /** What others used of a processor meanwhile. */
  others: z.number().optional(),
  /** Why it is not to be trusted by itself: "others used 0.4 of a processor". */
  noisy: z.string().optional(),
  /** Why there is no number. */
  failed: z.string().optional(),
});
export type Sample = Readonly<z.infer<typeof sampleSchema>>;

/** machine.json: what the figures depend on. What cannot be read is 'unknown', never left out. */
export const machineSchema = z.object({
  /** Names the folder, with the date: the host's name, or what the user said. */
  name: z.string(),
  at: z.iso.datetime(),
  cpu: z.string(),
  cpus: z.int(),
  memoryGiB: z.number(),
  /** Whether this machine is itself a virtual one. */
  hypervisor: z.boolean(),
  /** Levels and sizes of CPU 0's caches. */
  caches: z.array(z.string()),
  kernel: z.string(),
  /** Only the options that change timing. */
  kernelOptions: z.string(),
  node: z.string(),
  /** Of this package. */
  version: z.string(),
  commit: z.string(),
  qemu: z.string(),
  /** How the VMs run: `KVM`, `TCG, emulated`; 'unknown' where a VM cannot tell. */
  accelerator: z.string(),
  /** Vulnerabilities with a mitigation or open, as the kernel names them. */
  mitigations: z.record(z.string(), z.string()),
  /** Averages of 1, 5 and 15 minutes when the study began. */
  load: z.array(z.number()),
});
export type StudyMachine = Readonly<z.infer<typeof machineSchema>>;

/** What is measured of one contestant at one point. */
export const plannedSchema = z.object({
  experiment: z.string(),
  where: z.enum(['native', 'vm']),
  point: z.record(z.string(), level),
  path: z.string(),
  metric: z.string(),
  unit: z.string(),
  better: z.enum(['lower', 'higher']),
  /** Set where it cannot be measured here: why. */
  absent: z.string().optional(),
});
export type Planned = Readonly<z.infer<typeof plannedSchema>>;

/** plan.json: what was to be measured, and how. */
export const planSchema = z.object({
  format: z.literal(1),
  rounds: z.int().min(1),
  quick: z.boolean(),
  /** Of the random order. */
  seed: z.int(),
  /** Length of one sample, and least length of its warm-up, milliseconds. */
  ms: z.number(),
  warmUpMs: z.number(),
  /** Where the two sides run. */
  cpus: z.array(z.int()),
  /** What others may use of a processor before a sample is called noisy. */
  maxOthers: z.number(),
  points: z.array(plannedSchema),
});
export type Plan = Readonly<z.infer<typeof planSchema>>;

export interface Study {
  readonly folder: string;
  readonly machine: StudyMachine;
  readonly plan: Plan;
  readonly samples: readonly Sample[];
  /** What a reader should be told: a torn last line, points without a number. */
  readonly notes: readonly string[];
}

/** The files of a study's folder. */
export const files = {
  machine: 'machine.json',
  plan: 'plan.json',
  samples: 'samples.jsonl',
  report: 'report.html',
  summary: 'summary.md',
  profiles: 'profiles',
} as const;

/** Names what is measured, whatever the order of the factors. */
export function keyOf({ experiment, where, point, path, metric }: Planned | Sample): string {
  return `${experiment} ${where} ${metric} ${path} ${pointText(point)}`;
}

/** `bytes=64, factor=ring-depth`: the factors by name. */
export function pointText(point: Sample['point']): string {
  const names = Object.keys(point).sort();
  return names.map((name) => `${name}=${point[name]}`).join(', ');
}
