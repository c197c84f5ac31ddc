import { availableParallelism } from 'node:os';
import { surroundingsOf } from './disturbance.ts';
import { NativeEnds } from './end/native-ends.ts';
import { channel, sharedMemory, unix, virtioNet } from './end/paths.ts';
import { RemoteEnds } from './end/remote-ends.ts';
import { factorJobs } from './experiments/factors.ts';
import { mixJobs } from './experiments/mix.ts';
import { nativePaths, noiseJobs, sizeJobs } from './experiments/sizes.ts';
import { folderName } from './folder.ts';
import { describeMachine } from './machine.ts';
import { makeStudy } from './run-study.ts';
import type { Outcome } from './runner.ts';
import { type Suite, suiteOf } from './suite.ts';

/** What `ivshmem study run` was told. */
export interface OwnStudy {
  /** What follows `node` to run one side of a pair. */
  readonly program: readonly string[];
  /** Where `ivshmem study answer` runs; without it both sides are processes of this host, and a server of its own is between them. */
  readonly peer?: string;
  readonly port: number;
  readonly region: string;
  /** Of this machine, where they are not those of its interfaces. */
  readonly addresses: readonly string[];
  readonly folder?: string;
  readonly name?: string;
  readonly version: string;
  readonly rounds?: number;
  readonly quick: boolean;
  readonly seed: number;
  readonly budgetMs?: number;
  readonly say: (line: string) => void;
}

const MAX_OTHERS = 0.1;

/** The study of a user's own machines: processes of this host, or this VM and another one. */
export async function studyOwnMachine(study: OwnStudy): Promise<Outcome> {
  const { quick, peer, name, version, seed, say, budgetMs } = study;
  const pace = quick
    ? { ms: 80, warmUpMs: 100, leastBytes: 1 << 20 }
    : { ms: 250, warmUpMs: 250, leastBytes: 4 << 20 };
  const machine = describeMachine({ version, ...(name === undefined ? {} : { name }) });
  const last = availableParallelism() - 1;
  const cpus = peer === undefined ? ([0, Math.min(1, last)] as const) : ([last] as const);
  const bytes = quick ? [64, 4096, 65_536] : [64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1 << 20];
  const { program, port, region, addresses } = study;
  const suite: Suite =
    peer === undefined
      ? suiteOf(
          [
            ...noiseJobs('native', [channel, sharedMemory, unix]),
            ...sizeJobs({ where: 'native', bytes, paths: nativePaths, perSecond: 2000, openBytes: [64] }),
            ...mixJobs('native', quick ? [0, 50, 100] : [0, 20, 40, 60, 80, 100], 1024),
            ...factorJobs(quick),
          ],
          () => NativeEnds.open({ program, cpus: [cpus[0], cpus.at(-1)!], pace }),
        )
      : suiteOf(
          [
            ...noiseJobs('vm', [channel, sharedMemory, virtioNet]),
            ...sizeJobs({
              ...{ where: 'vm', bytes, paths: [channel, sharedMemory, virtioNet], perSecond: 500 },
              openBytes: [64],
            }),
          ],
          async () => new RemoteEnds({ program, pace, host: peer, port, region, addresses, cpu: cpus[0] }),
        );
  return makeStudy({
    ...{ folder: study.folder ?? `study/${folderName(machine)}`, machine, quick, seed, cpus, pace, say },
    ...{ rounds: study.rounds ?? (quick ? 3 : 7), maxOthers: MAX_OTHERS, phases: [[suite]] },
    surroundings: surroundingsOf(),
    ...(budgetMs === undefined ? {} : { budgetMs }),
  });
}
