import type { SpacesReport, SpreadReport } from '../observe/sample.ts';

/** Parts of a space in one row of the picture, and the edge of one. */
const COLUMNS = 64;
const EDGE = 12;
const MARGIN = 16;
/** Of a title, and under the last row. */
const LINE = 28;

/**
 * A picture of where pages came and went: for each spread space its parts from the start to the end, row by row, the darker (in a dark
 * theme the brighter) the more often. As SVG, of this host.
 */
export function heatPicture({ hosts, spaces }: SpacesReport): string {
  let y = MARGIN;
  const parts: string[] = [];
  const text = (words: string): void => {
    parts.push(`<text x="${MARGIN}" y="${y + 14}">${escaped(words)}</text>`);
    y += LINE;
  };
  const spread = spaces.flatMap(({ name, spread }) => (spread === undefined ? [] : [{ name, spread }]));
  if (spread.length === 0) text('no space of this region spreads over hosts');
  for (const { name, spread: report } of spread) {
    const most = Math.max(...report.heat, 0);
    text(
      `${name}: pages that came to host ${hosts?.host ?? '?'} or left it; at most ${most} times in a part`,
    );
    parts.push(...cells(report, most, y));
    y += Math.ceil(report.heat.length / COLUMNS) * EDGE;
    text(`${report.heat.length} parts of ${bytesOf(report)} bytes`);
  }
  const [width, height] = [2 * MARGIN + COLUMNS * EDGE, y + MARGIN];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">
<style>svg { background: #fff; color: #222 } text { fill: currentColor } .cold { fill: #eee } .hot { fill: #b30000 }
@media (prefers-color-scheme: dark) { svg { background: #161616; color: #ddd } .cold { fill: #2a2a2a } .hot { fill: #ff7043 } }</style>
${parts.join('\n')}
</svg>
`;
}

function cells({ heat }: SpreadReport, most: number, top: number): string[] {
  const square = (i: number, words: string): string => {
    const [x, y] = [MARGIN + (i % COLUMNS) * EDGE, top + Math.floor(i / COLUMNS) * EDGE];
    return `<rect x="${x}" y="${y}" width="${EDGE - 1}" height="${EDGE - 1}" ${words}/>`;
  };
  return heat.flatMap((times, i) => {
    const cold = square(i, 'class="cold"');
    // By the logarithm: one part that two hosts fight for would leave all others white.
    const share = most === 0 ? 0 : Math.log1p(times) / Math.log1p(most);
    return times === 0 ? [cold] : [cold, square(i, `class="hot" opacity="${share.toFixed(3)}"`)];
  });
}

function bytesOf({ pages, pageBytes, heat }: SpreadReport): number {
  return Math.ceil((pages * pageBytes) / Math.max(heat.length, 1));
}

/** Whoever opens a space chooses its name. */
function escaped(text: string): string {
  const printable = [...text].map((c) => (c < ' ' || (c >= '\x7f' && c < '\xa0') ? '?' : c)).join('');
  return printable.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
