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
  const dots = ['#ff5f57', '#febc2e', '#28c840'].map(
    (colour, i) => `<circle cx="${MARGIN + 4 + i * 18}" cy="17" r="5.5" fill="${colour}"/>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(`Output of ${command}`)}">`,
    `<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>`,
    ...dots,
    `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${FONT}" xml:space="preserve" style="white-space:pre">`,
    ...text.filter((line) => line !== ''),
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
