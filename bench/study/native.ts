import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { NativeEnds, type NativeOptions, REGION_BYTES } from '../../src/study/end/native-ends.ts';
import { channel, sharedMemory, tcp, unix } from '../../src/study/end/paths.ts';
import { factorJobs, membersJob, pageSizeJob, vectorsJob } from '../../src/study/experiments/factors.ts';
import { fileJobs } from '../../src/study/experiments/file.ts';
import { mixJobs } from '../../src/study/experiments/mix.ts';
import { nativePaths, noiseJobs, sizeJobs } from '../../src/study/experiments/sizes.ts';
import { type Job, type Suite, suiteOf } from '../../src/study/suite.ts';
import { makePapers, PAPERS_FOLDER } from '../dsm/hosts/certificates.ts';
import { buildContestants, bundleAs, bundlePrograms, outFolder } from '../harness/build.ts';
import { bundle } from '../membership/fleet.ts';
import { NativePairs } from '../sockets/native-pairs.ts';
import { detectionJobs } from './detection.ts';
import { dsmJobs } from './dsm.ts';
import type { Extent } from './extent.ts';
import { channelCountJobs, nothing, peerJobs } from './own-programs.ts';
import { type PairTools, socketJobs } from './sockets.ts';

export interface NativeStudy {
  readonly extent: Extent;
  readonly cpus: readonly [number, number];
  readonly seed: number;
  /** These experiments only; all without it. */
  readonly only?: readonly string[] | undefined;
}

/** Everything that is measured between processes of this host: one phase, in which all of it is interleaved. Builds the programs. */
export async function nativeSuites({ extent, cpus, seed, only }: NativeStudy): Promise<Suite[]> {
  const { bytes, openBytes, perSecond, pace, quick } = extent;
  const chosen = <T>(jobs: readonly Job<T>[]): Job<T>[] =>
    jobs.filter(({ planned }) => only === undefined || only.includes(planned.experiment));
  await buildContestants(['zeromq', 'ours', 'ours-server']);
  const source = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  const [end, sockets, http] = await bundlePrograms(
    ['programs/study-end.ts', '../sockets/programs/sockets-end.ts', '../sockets/programs/http-end.ts'].map(
      source,
    ),
  );
  const dsm = ['pieces', 'app', 'remote', 'wire', 'host'].map((name) => `../dsm/programs/dsm-${name}.ts`);
  await bundlePrograms([...dsm, 'programs/spread-size.ts'].map(source));
  makePapers(path.join(outFolder, PAPERS_FOLDER));
  const transparent = await bundleAs(
    'transparent',
    new URL('../../src/transparent/index.ts', import.meta.url),
  );
  const members = await bundle();
  const flags = { cpus, ms: pace.ms };
  const options: NativeOptions = { program: [end!], cpus, pace };
  const server = path.join(outFolder, 'ours-server.mjs');
  const programs = { end: sockets!, http: http!, transparent, server };
  return [
    suiteOf(
      chosen([
        ...noiseJobs('native', quick ? [channel, sharedMemory] : [channel, sharedMemory, unix]),
        ...sizeJobs({ where: 'native', bytes, paths: nativePaths, perSecond, openBytes }),
        ...mixJobs('native', extent.remote, 1024),
        ...factorJobs(quick),
        ...(quick ? [2, 64] : [2, 8, 32, 64]).map(membersJob),
        ...fileJobs('native', quick ? [sharedMemory, tcp] : [sharedMemory, unix, tcp], 32 << 20),
        ...(quick ? [] : [vectorsJob(2)]),
        pageSizeJob('4 KiB'),
      ]),
      () => NativeEnds.open(options),
    ),
    suiteOf(chosen([pageSizeJob('2 MiB', noHugePages())]), () =>
      NativeEnds.open({ ...options, memory: 'hugepages' }),
    ),
    ...(quick ? [] : [1, 8]).map((vectors) =>
      suiteOf(chosen([vectorsJob(vectors)]), () => NativeEnds.open({ ...options, vectors })),
    ),
    suiteOf(chosen(socketJobs(pace)), async (): Promise<PairTools> => {
      const pairs = await NativePairs.start(programs, cpus);
      return {
        pairs,
        get pids() {
          return pairs.pids;
        },
        [Symbol.asyncDispose]: () => pairs[Symbol.asyncDispose](),
      };
    }),
    suiteOf(
      chosen([
        ...peerJobs(flags, quick),
        ...channelCountJobs(extent.channels, flags),
        ...detectionJobs(extent.members, extent.changes, seed, members),
        ...dsmJobs(flags, quick),
      ]),
      async () => nothing,
    ),
  ];
}

/** Why a region cannot have huge pages here; '' where it can. */
function noHugePages(): string {
  const free = Number(/^HugePages_Free:\s+(\d+)$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0);
  const wanted = REGION_BYTES >> 21;
  return free >= wanted ? '' : `${free} huge pages are free, and ${wanted} are wanted (vm.nr_hugepages)`;
}
