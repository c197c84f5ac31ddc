import { fileURLToPath } from 'node:url';
import { channel, sharedMemory, tun, virtioNet } from '../../src/study/end/paths.ts';
import { fileJobs } from '../../src/study/experiments/file.ts';
import { noiseJobs, sizeJobs } from '../../src/study/experiments/sizes.ts';
import { type Job, type Suite, suiteOf, type Tools } from '../../src/study/suite.ts';
import { bundlePrograms } from '../harness/build.ts';
import { bundle } from '../membership/fleet.ts';
import { Vms } from '../membership/vms.ts';
import { Guests } from '../sockets-vm/guests.ts';
import { vmDetectionJob } from './detection-vm.ts';
import type { Extent, VmExtent } from './extent.ts';
import { Kept } from './kept.ts';
import { VmTools, vmJobs } from './vm-jobs.ts';

export interface VmStudy {
  readonly extent: Extent;
  readonly cpus: readonly [number, number];
  readonly seed: number;
  readonly only?: readonly string[] | undefined;
  /** Set where no VM can be: why. */
  readonly absent: string;
  readonly say: (line: string) => void;
}

/** Everything between VMs, which are booted when the first sample needs them; each phase has its own. */
export async function vmPhases(study: VmStudy): Promise<Suite[][]> {
  const pair = pairSuite(study);
  return study.extent.vm.everything ? [[pair], [await detectionSuite(study)]] : [[pair]];
}

/** Between two VMs: sizes by paths, a switch, and applications. */
function pairSuite(study: VmStudy): Suite {
  const { extent, cpus, say } = study;
  const { pace, lessonMs, startMs, everything } = extent.vm;
  const guests = new Kept(
    async () => {
      const started = await Guests.start(cpus, say, everything);
      return { started, tools: new VmTools(started, pace, lessonMs) };
    },
    ({ started }) => started.close(),
  );
  const jobs = [...endJobs(extent.vm), ...(everything ? vmJobs(pace) : [])];
  return suiteOf(chosen(jobs, study), async () => (await guests.get()).tools, {
    close: () => guests.close(),
    startMs: () => (guests.isThere ? 0 : startMs),
  });
}

function endJobs({ bytes, everything }: VmExtent): Job<VmTools>[] {
  const paths = [channel, sharedMemory, virtioNet, ...(everything ? [tun] : [])];
  const jobs = [
    ...(everything ? noiseJobs('vm', [channel, sharedMemory, virtioNet]) : []),
    // A rate that emulated processors keep up with.
    ...sizeJobs({ where: 'vm', bytes, paths, perSecond: 100, openBytes: everything ? [64] : [] }),
    ...(everything ? fileJobs('vm', [sharedMemory, tun, virtioNet], 8 << 20) : []),
  ];
  return jobs.map(({ planned, take }) => ({ planned, take: ({ ends }) => take(ends) }));
}

/** Three VMs that watch, and a process of the host that comes and goes. */
async function detectionSuite(study: VmStudy): Promise<Suite> {
  const { seed, say } = study;
  const bundles = await bundle();
  const program = fileURLToPath(new URL('../membership/programs/membership-acks.ts', import.meta.url));
  const [acks] = await bundlePrograms([program]);
  const vms = new Kept(
    () => {
      say('booting three VMs');
      return Vms.start(bundles, acks!, say);
    },
    (started) => started.close(),
  );
  const open = async (round: number): Promise<{ vms: Vms; round: number } & Tools> => {
    const started = await vms.get();
    return {
      ...{ vms: started, round },
      get pids() {
        return started.pids;
      },
      [Symbol.asyncDispose]: async () => {},
    };
  };
  return suiteOf(chosen([vmDetectionJob(seed)], study), open, { close: () => vms.close() });
}

function chosen<T>(jobs: readonly Job<T>[], { only, absent }: VmStudy): Job<T>[] {
  return jobs
    .filter(({ planned }) => only === undefined || only.includes(planned.experiment))
    .map(({ planned, take }) => ({
      planned: absent === '' || planned.absent !== undefined ? planned : { ...planned, absent },
      take,
    }));
}
