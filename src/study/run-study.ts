import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Surroundings } from './disturbance.ts';
import type { Pace } from './end/ends.ts';
import { beginStudy } from './folder.ts';
import { writeReport } from './report/index.ts';
import type { Plan, StudyMachine } from './results.ts';
import { type Outcome, runStudy } from './runner.ts';
import { SampleLog } from './sample-log.ts';
import type { Suite } from './suite.ts';

export interface StudyOptions {
  readonly folder: string;
  readonly machine: StudyMachine;
  readonly rounds: number;
  readonly quick: boolean;
  readonly seed: number;
  readonly cpus: readonly number[];
  readonly pace: Pace;
  readonly maxOthers: number;
  readonly phases: readonly (readonly Suite[])[];
  readonly surroundings: Surroundings;
  readonly say: (line: string) => void;
  readonly budgetMs?: number;
  /** What is added to the folder between the samples and the report; what it says went wrong is said. */
  readonly before?: (folder: string) => Promise<readonly string[]>;
}

/** Runs a study, or what is left of it, and writes its report. An interrupt (SIGINT, SIGTERM) ends it after the sample that is being taken. */
export async function makeStudy(options: StudyOptions): Promise<Outcome> {
  const { machine, rounds, quick, seed, cpus, pace, maxOthers, phases, surroundings, say, budgetMs } =
    options;
  const folder = resolve(options.folder);
  const { ms, warmUpMs } = pace;
  const points = phases.flat().flatMap(({ planned }) => planned);
  const settings = { rounds, quick, seed, ms, warmUpMs, cpus: [...cpus], maxOthers };
  const wanted: Plan = { format: 1, ...settings, points };
  mkdirSync(folder, { recursive: true });
  const plan = beginStudy(folder, wanted, machine);
  say(`${folder}: ${plan.points.length} points, ${rounds} rounds of ${ms} ms, seed ${plan.seed}`);
  const stop = new AbortController();
  const interrupted = (): void => {
    say('stopping after this sample; the same command goes on from here');
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
  let outcome: Outcome;
  try {
    using log = new SampleLog(folder);
    const limit = budgetMs === undefined ? {} : { budgetMs };
    outcome = await runStudy({ plan, phases, log, surroundings, say, signal: stop.signal, ...limit });
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, interrupted);
  }
  if (outcome.failed > 0) say(`${outcome.failed} samples gave no number; the same command tries them again`);
  if (outcome.left > 0) say(`${outcome.left} samples were not taken; the same command goes on from here`);
  for (const line of (await options.before?.(folder)) ?? []) say(line);
  const { html, summary } = await writeReport(folder);
  say(`report: ${html}`);
  say(`summary: ${summary}`);
  return outcome;
}
