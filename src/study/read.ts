import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { IvshmemError } from '../errors/index.ts';
import { files, keyOf, machineSchema, planSchema, type Sample, type Study, sampleSchema } from './results.ts';

/**
 * A study as its folder holds it. A last line of samples.jsonl that an interrupted run left torn is dropped, and said in `notes`.
 * @throws IvshmemError ERR_IVSHMEM_STUDY_FOLDER when it is none; ERR_IVSHMEM_STUDY_FILE, with the line, when something in it is wrong.
 */
export function readStudy(folder: string): Study {
  const machine = readJson(folder, files.machine, machineSchema);
  const plan = readJson(folder, files.plan, planSchema);
  const { samples: all, torn } = readSamples(folder);
  const samples = withoutRetried(all);
  const notes = torn ? ['the last line of samples.jsonl was torn by an interruption, and was dropped'] : [];
  return { folder, machine, plan, samples, notes };
}

/** Without failures of samples that a later run of the same study took after all. */
function withoutRetried(samples: readonly Sample[]): Sample[] {
  const key = (sample: Sample): string => `${sample.round} ${keyOf(sample)}`;
  const good = new Set(samples.filter(({ failed }) => failed === undefined).map(key));
  return samples.filter((sample) => sample.failed === undefined || !good.has(key(sample)));
}

/** The samples alone; none where the file is not there yet. */
export function readSamples(folder: string): { samples: Sample[]; torn: boolean } {
  const file = join(folder, files.samples);
  const text = contentOf(file) ?? '';
  const lines = text.split('\n');
  // A whole file ends with a line end, so that what is behind the last one was being written.
  const tail = lines.pop()!;
  const samples = lines.flatMap((line, index) => (line === '' ? [] : [sampleOf(file, line, index + 1)]));
  return { samples, torn: tail !== '' };
}

function sampleOf(file: string, line: string, number: number): Sample {
  return check(sampleSchema, parsed(file, line, number), file, number);
}

/** A JSON file of a study, checked. */
export function readJson<T extends z.ZodType>(folder: string, name: string, schema: T): z.infer<T> {
  const file = join(folder, name);
  const text = contentOf(file);
  if (text === null) throw new IvshmemError('ERR_IVSHMEM_STUDY_FOLDER', { folder, why: `it has no ${name}` });
  return check(schema, parsed(file, text, 1), file, 1);
}

function contentOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new IvshmemError(
      'ERR_IVSHMEM_STUDY_FOLDER',
      { folder: file, why: (error as Error).message },
      { cause: error },
    );
  }
}

function parsed(file: string, text: string, line: number): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = `it is no JSON (${(error as Error).message})`;
    throw new IvshmemError('ERR_IVSHMEM_STUDY_FILE', { file, line, why }, { cause: error });
  }
}

function check<T extends z.ZodType>(schema: T, value: unknown, file: string, line: number): z.infer<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [first] = result.error.issues;
  const why = `${first!.path.join('.') || 'it'}: ${first!.message}`;
  throw new IvshmemError('ERR_IVSHMEM_STUDY_FILE', { file, line, why }, { cause: result.error });
}
