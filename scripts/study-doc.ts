/**
 * Writes the pictures and the figures of a study into the documents: docs/images/study/*.svg, docs/study.md and, unless --no-readme is given,
 * README.md, each between the marks study:begin and study:end. Usage: npx tsx scripts/study-doc.ts STUDY-FOLDER [--no-readme].
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cellsOf } from '../src/study/cells.ts';
import { readProfiles } from '../src/study/profile.ts';
import { readStudy } from '../src/study/read.ts';
import { seedSummary } from '../src/study/report/seed-table.ts';
import { seedRows } from '../src/study/seeds.ts';
import { everyFigure, figuresTable, frontFigures, machineText } from './study-doc-figures.ts';
import { type Picture, picturesOf } from './study-doc-pictures.ts';

const MARKS = ['<!-- study:begin -->', '<!-- study:end -->'] as const;
const IMAGES = 'docs/images/study';
/** Of these README shows the first that a study has. */
const COVER = ['vm-round-trip', 'round-trip'];

const root = fileURLToPath(new URL('..', import.meta.url));
const [folder, flag] = process.argv.slice(2);
if (folder === undefined || (flag !== undefined && flag !== '--no-readme')) {
  process.stderr.write('usage: npx tsx scripts/study-doc.ts STUDY-FOLDER [--no-readme]\n');
  process.exit(2);
}
const study = readStudy(folder);
const cells = cellsOf(study);
const pictures = picturesOf(cells, readProfiles(folder));
writePictures(pictures);
const head = machineText(study, cells);
const seeds = seedSummary(seedRows(cells)).replace(/^## .*\n\n/, '');
const shown = pictures.map(({ name, caption }) => `![${caption}](images/study/${name}.svg)`);
replaceBlock('docs/study.md', [
  head,
  figuresTable(cells, everyFigure),
  '### The papers’ claims',
  seeds,
  '### Pictures',
  ...shown,
]);
if (flag === undefined) {
  const cover = COVER.flatMap((name) => pictures.find((one) => one.name === name) ?? []).slice(0, 1);
  const image = cover.map(({ name, caption }) => `![${caption}](${IMAGES}/${name}.svg)`);
  replaceBlock('README.md', [...image, head, figuresTable(cells, frontFigures)]);
}
process.stdout.write(`${pictures.length} pictures in ${IMAGES}\n`);

/** The folder has the pictures of this study and no others. */
function writePictures(all: readonly Picture[]): void {
  const place = path.join(root, IMAGES);
  mkdirSync(place, { recursive: true });
  for (const file of readdirSync(place)) if (file.endsWith('.svg')) rmSync(path.join(place, file));
  for (const { name, svg } of all) writeFileSync(path.join(place, `${name}.svg`), svg);
}

/** @throws Error when the document has no marks. */
function replaceBlock(document: string, parts: readonly string[]): void {
  const file = path.join(root, document);
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const [begin, end] = MARKS.map((mark) => text.indexOf(mark)) as [number, number];
  if (begin < 0 || end < begin) throw new Error(`${document} has no ${MARKS.join(' and ')}`);
  const block = parts.filter((part) => part !== '').join('\n\n');
  writeFileSync(file, `${text.slice(0, begin + MARKS[0].length)}\n${block}\n${text.slice(end)}`);
}
