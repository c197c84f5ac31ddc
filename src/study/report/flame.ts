import { type Frame, type Profile, selfTimes } from '../profile.ts';
import { rect, svg, text } from './drawing.ts';
import { digits } from './format.ts';
import { type Html, html, raw } from './html.ts';
import type { Part } from './page.ts';
import { table } from './table.ts';

const WIDTH = 720;
const ROW = 17;
/** Frames with less than this share of all time would be hairs. */
const LEAST_SHARE = 0.012;
/** Stacks are drawn so high: what is above was started by the loader, and says nothing of a path. */
const MOST_DEPTH = 20;
/** Width of a letter, of the whole width. */
const LETTER = 6.2 / WIDTH;
const ROWS = 12;

interface Box {
  readonly x1: number;
  readonly x2: number;
  readonly depth: number;
  readonly fill: string;
  readonly name: string;
  readonly label: string;
}

const words =
  'V8’s profiler, one sample in about a millisecond, warm-up and start included; what the processor waits for (lines of the other processor’s cache) is in the function that touches them. Wide is what took long; what is above was called by what is below it. Blue is this package and what measures it, grey is Node and V8.';

/** Flame graphs of the paths that were profiled, each with a table of self time; null where none were. */
export function profilePart(profiles: readonly Profile[]): Part | null {
  if (profiles.length === 0) return null;
  const body = html`<p>${words}</p>${profiles.map(
    ({ name, root }) =>
      html`<h3>${name}</h3>${flame(name, root)}<details><summary>Self time</summary>${selfTable(root)}</details>`,
  )}`;
  return { id: 'profiles', name: 'Where the time goes', body };
}

function flame(name: string, root: Frame): Html {
  const boxes: Box[] = [];
  const lay = (frame: Frame, x1: number, depth: number): void => {
    const x2 = x1 + frame.total / root.total;
    if (frame.total < LEAST_SHARE * root.total || depth >= MOST_DEPTH) return;
    // The root is all of it, and says nothing.
    if (depth >= 0) boxes.push(boxOf(frame, x1, x2, depth));
    let at = x1;
    for (const child of [...frame.children].sort((a, b) => b.total - a.total)) {
      lay(child, at, depth + 1);
      at += child.total / root.total;
    }
  };
  if (root.total > 0) lay(root, 0, -1);
  const depth = Math.max(1, ...boxes.map((box) => box.depth + 1));
  const drawn = svg(`Flame graph: ${name}`, {
    ...{ width: WIDTH, height: depth * ROW + 4, margin: 2, style: { fontSize: '10px' } },
    x: { domain: [0, 1], axis: null },
    y: { domain: [0, depth], axis: null },
    marks: [
      rect(boxes, {
        ...{ x1: 'x1', x2: 'x2', y1: 'depth', y2: (box: Box) => box.depth + 1 },
        ...{ fill: 'fill', fillOpacity: 0.22, stroke: 'fill', strokeWidth: 0.6, inset: 0.5, title: 'name' },
      }),
      text(boxes, {
        ...{ x: 'x1', y: (box: Box) => box.depth + 0.5, text: 'label', textAnchor: 'start', dx: 3 },
        ...{ fill: 'var(--ink)', pointerEvents: 'none' },
      }),
    ],
  });
  return html`<div class="flame">${raw(drawn)}</div>`;
}

function boxOf({ name, at, total, self }: Frame, x1: number, x2: number, depth: number): Box {
  const room = Math.floor((x2 - x1) / LETTER) - 1;
  const label = room < 3 ? '' : name.length > room ? `${name.slice(0, room - 1)}…` : name;
  const ms = (microseconds: number): string => `${digits(microseconds / 1000)} ms`;
  return {
    ...{ x1, x2, depth, label },
    fill: isNodes(at) ? 'var(--faint)' : 'var(--series-0)',
    name: `${name} (${at}): ${ms(total)}, itself ${ms(self)}`,
  };
}

const isNodes = (at: string): boolean => at === '(native)' || at.startsWith('node:');

function selfTable(root: Frame): Html {
  const rows = selfTimes(root).slice(0, ROWS);
  return table(
    [
      { name: 'function' },
      { name: 'where' },
      { name: 'self time', number: true },
      { name: 'share', number: true },
    ],
    rows.map(({ name, at, self }) => [
      name,
      at,
      `${digits(self / 1000)} ms`,
      `${digits((100 * self) / Math.max(1, root.total))} %`,
    ]),
  );
}
