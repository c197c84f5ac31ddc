import { readFileSync } from 'node:fs';
import path from 'node:path';
import { baseImage } from '../../guest-image/base.ts';
import { accelerator } from '../../qemu/facts.ts';
import { surroundingsOf } from '../../src/study/disturbance.ts';
import { folderName } from '../../src/study/folder.ts';
import { checkoutCommit, describeMachine } from '../../src/study/machine.ts';
import { makeStudy } from '../../src/study/run-study.ts';
import { benchRoot, outFolder } from '../harness/build.ts';
import { execute } from '../harness/execute.ts';
import { progress } from '../harness/lines.ts';
import { type Extent, quickExtent, wholeExtent } from './extent.ts';
import { nativeSuites } from './native.ts';
import type { StudyOptions } from './options.ts';
import { takeProfiles } from './profiles.ts';
import { vmPhases } from './vms.ts';

/** `bench study`: the whole study of this machine, or a quick one, into study/DATE-MACHINE. Exit status 1 when a sample gave no number. */
export async function runStudyHere(options: StudyOptions): Promise<void> {
  process.env.BENCH_ROOT = benchRoot;
  const cpus = options.cpus.split(',').map(Number) as [number, number];
  const extent: Extent = options.quick ? quickExtent : wholeExtent;
  const absent = await noVms(options);
  const known = { commit: checkoutCommit(), version: version() };
  const machine = describeMachine(absent === '' ? { ...known, accelerator: await accelerator() } : known);
  const { only, seed } = options;
  const budget = options.budget ?? extent.budget;
  progress('building the programs');
  const chosen = only?.split(',');
  // VMs are not interleaved with the rest: while they run, they are others to everything else.
  const phases = [
    ...(options.where === 'vm' ? [] : [await nativeSuites({ extent, cpus, seed, only: chosen })]),
    ...(options.where === 'native'
      ? []
      : await vmPhases({ extent, cpus, seed, only: chosen, absent, say: progress })),
  ];
  // In a limited time both get some of it.
  if (options.quick) phases.reverse();
  const pins = ['--cpu-a', String(cpus[0]), '--cpu-b', String(cpus[1])];
  const probe = [path.join(outFolder, 'line'), ...pins, '--ms', '10'];
  const outcome = await makeStudy({
    folder: options.folder ?? path.join(benchRoot, '../study', folderName(machine)),
    ...{ machine, cpus, seed, phases, quick: options.quick, maxOthers: options.maxOthers },
    rounds: options.rounds ?? extent.rounds,
    pace: extent.pace,
    surroundings: surroundingsOf(async () => (await execute(probe)).value),
    say: progress,
    ...(budget === undefined ? {} : { budgetMs: budget * 1000 }),
    ...(options.profiles && options.where !== 'vm'
      ? { before: (folder: string) => takeProfiles(folder, cpus, progress) }
      : {}),
  });
  if (outcome.failed > 0) process.exitCode = 1;
}

/** Why there can be no VMs; '' where there can. */
async function noVms({ vms, quick }: StudyOptions): Promise<string> {
  if (!vms) return '--no-vms';
  if (process.getuid?.() !== 0) return 'VMs, their bridge and their image need root';
  if (!quick || (await imageIsBuilt())) return '';
  return 'the image of the VMs is not built yet, which takes minutes (make image, or make study without QUICK)';
}

/** Whether a VM can boot without building its disk first. */
async function imageIsBuilt(): Promise<boolean> {
  const missing = new Error('it would be built');
  const log = (): never => {
    throw missing;
  };
  try {
    await baseImage({ log });
    return true;
  } catch (error) {
    if (error === missing) return false;
    throw error;
  }
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
