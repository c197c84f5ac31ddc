import type { Pace } from '../../src/study/end/ends.ts';
import type { Units } from '../membership/detect.ts';

/** How much of everything a study measures. */
export interface Extent {
  readonly quick: boolean;
  readonly rounds: number;
  /** Seconds after which no sample is begun, unless it is said otherwise. */
  readonly budget?: number;
  readonly pace: Pace;
  readonly bytes: readonly number[];
  /** Of round trips at a rate. */
  readonly openBytes: readonly number[];
  readonly perSecond: number;
  readonly remote: readonly number[];
  readonly channels: readonly number[];
  readonly members: readonly number[];
  readonly changes: Units;
  readonly vm: VmExtent;
}

/** What is measured between two VMs. */
export interface VmExtent {
  readonly pace: Pace;
  readonly bytes: readonly number[];
  /** Length of what a pair of programs is taught first, milliseconds. */
  readonly lessonMs: number;
  /** With the noise floor, the TUN interface, responses at a rate, a switch and applications; without, two paths beside virtio-net. */
  readonly everything: boolean;
  /** What booting and teaching the first pair takes at least, milliseconds. */
  readonly startMs: number;
}

/** Ends within 5 minutes, its report included; on a slow machine with fewer rounds, which the next run adds. */
export const quickExtent: Extent = {
  quick: true,
  rounds: 3,
  budget: 255,
  pace: { ms: 60, warmUpMs: 100, leastBytes: 1 << 20 },
  bytes: [64, 4096, 65_536],
  openBytes: [64],
  perSecond: 2000,
  remote: [0, 50, 100],
  channels: [1, 16, 128],
  members: [2, 4, 8],
  changes: { pacedLeaves: 1, pacedCrashes: 0, leaves: 4, crashes: 2 },
  vm: {
    pace: { ms: 150, warmUpMs: 150, leastBytes: 4 << 20 },
    bytes: [64, 65_536],
    lessonMs: 5000,
    everything: false,
    startMs: 45_000,
  },
};

export const wholeExtent: Extent = {
  quick: false,
  rounds: 7,
  pace: { ms: 250, warmUpMs: 250, leastBytes: 4 << 20 },
  bytes: [64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1 << 20],
  openBytes: [64, 16_384],
  perSecond: 2000,
  remote: [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100],
  channels: [1, 8, 64, 256, 1000],
  members: [2, 8, 32, 64],
  changes: { pacedLeaves: 2, pacedCrashes: 2, leaves: 12, crashes: 4 },
  vm: {
    pace: { ms: 600, warmUpMs: 500, leastBytes: 4 << 20 },
    bytes: [64, 1024, 16_384, 65_536, 1 << 20],
    lessonMs: 10_000,
    everything: true,
    startMs: 60_000,
  },
};
