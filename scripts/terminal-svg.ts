/**
 * Runs a command and draws what it really printed as a terminal in SVG.
 * Usage: npx tsx scripts/terminal-svg.ts OUT.svg COMMAND            runs COMMAND in a shell
 *        npx tsx scripts/terminal-svg.ts OUT.svg COMMAND FILE       draws FILE as its output
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

const FONT = 13;
const CHARACTER = 7.8;
const LINE = 19;
const MARGIN = 18;
const TITLE = 34;

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** The picture: a prompt with `command`, then `output` without colours, long lines cut at `columns`. */
export function terminalSvg(command: string, output: string, columns = 130): string {
  const said = stripVTControlCharacters(output).replaceAll('\r', '').trimEnd().split('\n');
  const lines = [`$ ${command}`, ...said].map((line) =>
    line.length > columns ? `${line.slice(0, columns - 1)}…` : line.trimEnd(),
  );
  const width = Math.ceil(Math.max(...lines.map((line) => line.length)) * CHARACTER + 2 * MARGIN);
  const height = TITLE + lines.length * LINE + MARGIN;
  const text = lines.map((line, i) => {
    if (line === '') return '';
    const colour = i === 0 ? '#7ee787' : '#e6edf3';
    // textLength keeps columns straight whatever font the reader has.
    const place = `x="${MARGIN}" y="${TITLE + i * LINE + FONT}" textLength="${(line.length * CHARACTER).toFixed(1)}"`;
    return `<text ${place} fill="${colour}">${escapeXml(line)}</text>`;
  });
  return frame(width, height, `Output of ${command}`, text);
}

/** Neighbouring cells of a screen in one style. */
export interface Run {
  readonly text: string;
  /** Of the 16 colours of a terminal, or null for the usual one. */
  readonly color: number | null;
  readonly dim: boolean;
  readonly inverse: boolean;
}

/** 30 to 37 of ECMA-48, as a dark theme has them. */
const COLORS = ['#484f58', '#ff7b72', '#7ee787', '#e3b341', '#79c0ff', '#d2a8ff', '#56d4dd', '#e6edf3'];

/** The picture of a whole screen of `columns` cells, `label` for who cannot see it. */
export function screenSvg(label: string, rows: readonly (readonly Run[])[], columns: number): string {
  const width = Math.ceil(columns * CHARACTER + 2 * MARGIN);
  const height = TITLE + rows.length * LINE + MARGIN;
  const text = rows.flatMap((runs, row) => {
    const drawn: string[] = [];
    let column = 0;
    for (const { text, color, dim, inverse } of runs) {
      const x = (MARGIN + column * CHARACTER).toFixed(1);
      const length = (text.length * CHARACTER).toFixed(1);
      const y = TITLE + row * LINE;
      column += text.length;
      if (inverse) drawn.push(`<rect x="${x}" y="${y}" width="${length}" height="${LINE}" fill="#8b949e"/>`);
      if (text.trim() === '') continue;
      const fill = inverse ? '#0d1117' : dim ? '#8b949e' : color === null ? '#e6edf3' : COLORS[color % 8];
      drawn.push(
        `<text x="${x}" y="${y + FONT + 1}" textLength="${length}" fill="${fill}">${escapeXml(text)}</text>`,
      );
    }
    return drawn;
  });
  return frame(width, height, label, text);
}

/** A window with a title bar around what is drawn. */
function frame(width: number, height: number, label: string, content: readonly string[]): string {
  const dots = ['#ff5f57', '#febc2e', '#28c840'].map(
    (colour, i) => `<circle cx="${MARGIN + 4 + i * 18}" cy="17" r="5.5" fill="${colour}"/>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(label)}">`,
    `<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>`,
    ...dots,
    `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${FONT}" xml:space="preserve" style="white-space:pre">`,
    ...content.filter((line) => line !== ''),
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [out, command, file] = process.argv.slice(2);
  if (out === undefined || command === undefined)
    throw new Error('usage: npx tsx scripts/terminal-svg.ts OUT.svg COMMAND [FILE]');
  let output: string;
  if (file !== undefined) output = readFileSync(file, 'utf8');
  else {
    const ran = spawnSync('sh', ['-c', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
    if (ran.status !== 0) throw new Error(`\`${command}\` ended with ${ran.status ?? ran.signal}`);
    output = ran.stdout;
  }
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, terminalSvg(command, output));
}
