import { parseHTML } from 'linkedom';
import { type Cell, groupBy } from '../src/study/cells.ts';
import type { Profile } from '../src/study/profile.ts';
import { profilePart } from '../src/study/report/flame.ts';
import { html } from '../src/study/report/html.ts';
import { looksOf } from '../src/study/report/palette.ts';
import { plotsOf } from '../src/study/report/sections.ts';
import { dark, light } from '../src/study/report/style.ts';

/** A picture for a document, readable by itself: light and dark, with its title and its legend. */
export interface Picture {
  readonly name: string;
  readonly caption: string;
  readonly svg: string;
}

/** Which plots of the report documents show: the first of an experiment whose caption fits. */
const chosen: readonly { readonly name: string; readonly experiment: string; readonly caption: RegExp }[] = [
  { name: 'vm-round-trip', experiment: 'size', caption: /^Round trip\b.*virtual machines/ },
  { name: 'vm-throughput', experiment: 'size', caption: /^Throughput\b.*virtual machines/ },
  { name: 'round-trip', experiment: 'size', caption: /^Round trip\b.*processes/ },
  { name: 'throughput', experiment: 'size', caption: /^Throughput\b.*processes/ },
  { name: 'percentiles', experiment: 'size', caption: /^Round trip, every one/ },
  { name: 'mix', experiment: 'mix', caption: /^Rate/ },
  { name: 'detection', experiment: 'detection', caption: /^Time, every one/ },
  { name: 'factors-throughput', experiment: 'factors', caption: /^Throughput/ },
  { name: 'factors-round-trip', experiment: 'factors', caption: /^Round trip/ },
  { name: 'count', experiment: 'count', caption: /^Round trip, 64 B/ },
  { name: 'dsm-sequential', experiment: 'dsm', caption: /access-sequential/ },
  { name: 'http', experiment: 'applications', caption: /http/ },
  { name: 'file', experiment: 'applications', caption: /file/ },
  { name: 'noise', experiment: 'noise', caption: /./ },
];

/** Pictures of what a study measured; what it did not has none. */
export function picturesOf(cells: readonly Cell[], profiles: readonly Profile[]): Picture[] {
  const looks = looksOf(cells);
  const plots = new Map(
    groupBy(cells, ({ experiment }) => experiment).map((own) => [
      own[0]!.experiment,
      figuresIn(plotsOf(own, looks)),
    ]),
  );
  const pictures = chosen.flatMap(({ name, experiment, caption }): Picture[] => {
    const figure = plots.get(experiment)?.find((one) => caption.test(one.caption));
    return figure === undefined ? [] : [{ name, caption: figure.caption, svg: standing(figure) }];
  });
  return [...pictures, ...flames(profiles)];
}

/** What is used of an element, which the library types by a browser's types. */
interface Drawn {
  readonly outerHTML: string;
  readonly textContent: string | null;
  getAttribute(name: string): string | null;
  setAttribute(name: string, value: string): void;
  cloneNode(deep: boolean): Drawn;
  querySelector(selector: string): Drawn | null;
  querySelectorAll(selector: string): Iterable<Drawn>;
}

interface Figure {
  readonly caption: string;
  readonly plot: Drawn;
  readonly legend: readonly { readonly mark: Drawn | null; readonly text: string }[];
}

function figuresIn(plots: readonly { readonly html: string }[]): Figure[] {
  const page = parseHTML(html`<!doctype html><html><body>${plots}</body></html>`.html);
  const document = page.document as unknown as Drawn;
  return [...document.querySelectorAll('figure, .flame')].flatMap((figure): Figure[] => {
    const plot = figure.querySelector('svg');
    if (plot === null) return [];
    const caption = figure.querySelector('figcaption')?.textContent ?? plot.getAttribute('aria-label') ?? '';
    const legend = [...figure.querySelectorAll('.legend li')].map((entry) => ({
      mark: entry.querySelector('svg'),
      text: entry.textContent ?? '',
    }));
    return [{ caption, plot, legend }];
  });
}

const profilesShown = /^(rtt-64-busy|rate-64-burst|channels-1000), measuring/;

function flames(profiles: readonly Profile[]): Picture[] {
  return profiles
    .filter(({ name }) => profilesShown.test(name))
    .flatMap((profile) => {
      const [figure] = figuresIn([profilePart([profile])!.body]);
      const caption = `Flame graph of ${profile.name}`;
      const name = `flame-${profile.name.replace(/,.*/, '')}`;
      return figure === undefined ? [] : [{ name, caption, svg: standing({ ...figure, caption }) }];
    });
}

const MARGIN = 10;
const LINE = 17;
const ENTRY = 170;

/** A plot with all that a page would give it: colours, ground, title and legend. */
function standing({ caption, plot, legend }: Figure): string {
  const [, , width = 0, height = 0] = (plot.getAttribute('viewBox') ?? '').split(/[\s,]+/).map(Number);
  const titles = wrapped(caption, Math.floor(width / 7.4));
  const top = MARGIN + titles.length * LINE;
  const columns = Math.max(1, Math.floor(width / ENTRY));
  const below = Math.ceil(legend.length / columns) * LINE;
  const [allWidth, allHeight] = [width + 2 * MARGIN, top + height + below + 2 * MARGIN];
  const placed = (element: Drawn, x: number, y: number, w: number, h: number): string => {
    const copy = element.cloneNode(true);
    for (const [name, value] of Object.entries({ x, y, width: w, height: h }))
      copy.setAttribute(name, String(value));
    // An empty name is none, and not valid.
    return copy.outerHTML.replaceAll(' aria-label=""', '');
  };
  const entries = legend.map(({ mark, text }, index) => {
    const x = MARGIN + (index % columns) * (width / columns);
    const y = top + height + MARGIN + Math.floor(index / columns) * LINE;
    return `${mark === null ? '' : placed(mark, x, y - 1, 30, 14)}<text x="${x + 36}" y="${y + 11}">${escaped(text)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${allWidth} ${allHeight}" width="${allWidth}" height="${allHeight}" role="img" aria-label="${escaped(caption)}">
<style>:root { ${light} } @media (prefers-color-scheme: dark) { :root { ${dark} } }
svg { color: var(--ink); fill: currentColor; font: 12px system-ui, sans-serif; } .title { font-weight: 600; }</style>
<rect width="${allWidth}" height="${allHeight}" rx="6" fill="var(--ground)"/>
${titles.map((line, index) => `<text class="title" x="${MARGIN}" y="${MARGIN + 10 + index * LINE}">${escaped(line)}</text>`).join('')}
${placed(plot, MARGIN, top, width, height)}
${entries.join('\n')}
</svg>
`;
}

function wrapped(text: string, most: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!;
    if (line !== '' && line.length + word.length >= most) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
