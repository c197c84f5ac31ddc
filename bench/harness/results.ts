import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Row } from './types.ts';

/** Where the details of the rows in `file` are. */
export function detailsFile(file: string): string {
  return file.replace(/(\.json)?$/, '.details.json');
}

/** Writes the rows, and beside them what they were made from. */
export function writeResults(file: string, rows: readonly Row[], details: object): void {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(rows, null, 2)}\n`);
  writeFileSync(detailsFile(file), `${JSON.stringify(details, null, 2)}\n`);
}
