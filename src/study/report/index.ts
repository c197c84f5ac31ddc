import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cellsOf } from '../cells.ts';
import { readProfiles } from '../profile.ts';
import { projectionOf } from '../projection/index.ts';
import { readStudy } from '../read.ts';
import { files } from '../results.ts';
import { seedRows } from '../seeds.ts';
import { profilePart } from './flame.ts';
import { page } from './page.ts';
import { projectionPart, projectionSummary } from './projection-part.ts';
import { seedPart, seedSummary } from './seed-table.ts';
import { summary } from './summary.ts';

/**
 * Writes report.html and summary.md of what a study's folder holds, however far it got. Returns their paths.
 * @throws IvshmemError ERR_IVSHMEM_STUDY_FOLDER, ERR_IVSHMEM_STUDY_FILE as `readStudy` does.
 */
export async function writeReport(folder: string): Promise<{ html: string; summary: string }> {
  const study = readStudy(folder);
  const cells = cellsOf(study);
  const paths = { html: join(folder, files.report), summary: join(folder, files.summary) };
  const rows = seedRows(cells);
  const projection = projectionOf(cells);
  const projected = projectionPart(projection);
  const parts = [projected, profilePart(readProfiles(folder))].filter((part) => part !== null);
  writeFileSync(paths.html, page(study, cells, [seedPart(rows), ...parts]));
  writeFileSync(paths.summary, summary(study, cells, [seedSummary(rows), projectionSummary(projection)]));
  return paths;
}
