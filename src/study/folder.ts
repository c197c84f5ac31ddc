import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { IvshmemError } from '../errors/index.ts';
import { readJson } from './read.ts';
import { files, keyOf, machineSchema, type Plan, planSchema, type StudyMachine } from './results.ts';

/** `study/2026-11-21-host`, below a folder. */
export function folderName(machine: Pick<StudyMachine, 'name' | 'at'>): string {
  return `${machine.at.slice(0, 10)}-${machine.name.replace(/[^\w.-]+/g, '-')}`;
}

/**
 * Begins a study in a folder, or goes on with the one that is there: returns its plan, in which the seed is that of the beginning.
 * @throws IvshmemError ERR_IVSHMEM_STUDY_OTHER_PLAN when the study there was planned otherwise.
 */
export function beginStudy(folder: string, wanted: Plan, machine: StudyMachine): Plan {
  if (!existsSync(join(folder, files.plan))) {
    mkdirSync(folder, { recursive: true });
    write(folder, files.machine, machine);
    write(folder, files.plan, wanted);
    return wanted;
  }
  const plan = readJson(folder, files.plan, planSchema);
  // A study is of one machine: what is added to it elsewhere would be compared with what it is not comparable to.
  const { name } = readJson(folder, files.machine, machineSchema);
  const [before, now] = [`${textOf(plan)} on ${name}`, `${textOf(wanted)} on ${machine.name}`];
  if (before !== now) throw new IvshmemError('ERR_IVSHMEM_STUDY_OTHER_PLAN', { folder, before, now });
  const known = new Set(plan.points.map(keyOf));
  const added = wanted.points.filter((point) => !known.has(keyOf(point)));
  if (added.length > 0 || known.size !== wanted.points.length) {
    const other = `${wanted.points.length} (${added.length} of them not planned then)`;
    throw new IvshmemError('ERR_IVSHMEM_STUDY_OTHER_PLAN', {
      folder,
      before: `${known.size} points`,
      now: other,
    });
  }
  return plan;
}

/** What must not change within a study, beside its points. */
function textOf({ rounds, quick, ms, warmUpMs, cpus }: Plan): string {
  return `${rounds} ${quick ? 'quick ' : ''}rounds of ${ms} ms after ${warmUpMs} ms on processors ${cpus.join(' and ')}`;
}

function write(folder: string, name: string, content: object): void {
  writeFileSync(join(folder, name), `${JSON.stringify(content, null, 2)}\n`);
}
