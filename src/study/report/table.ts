import { besideEachOther, type Cell } from '../cells.ts';
import { oursAgainst } from '../ours.ts';
import { figure, pointLabel, ratioWithInterval, title } from './format.ts';
import { type Html, html } from './html.ts';

/** A table whose rows stand one below the other on a phone: each cell says what it is. */
export function table(
  heads: readonly { readonly name: string; readonly number?: true }[],
  rows: readonly (readonly (string | Html | null)[])[],
): Html {
  const kind = (index: number): string => (heads[index]!.number ? 'number' : 'text');
  return html`<div class="wide"><table class="stack"><thead><tr>${heads.map(
    ({ name }, index) => html`<th scope="col" class="${kind(index)}">${name}</th>`,
  )}</tr></thead><tbody>${rows.map(
    (row) =>
      html`<tr>${row.map((cell, index) => html`<td class="${kind(index)}" data-name="${heads[index]!.name}">${cell}</td>`)}</tr>`,
  )}</tbody></table></div>`;
}

/** Every cell of an experiment: its figure, its interval, how many rounds, and what was wrong with them. */
export function cellTable(cells: readonly Cell[]): Html {
  const rows = besideEachOther(cells).flatMap((set) =>
    set.map((cell) => {
      const ratio = oursAgainst(cell, set);
      return [
        `${title(cell.metric)}${cell.where === 'vm' ? ' (VMs)' : ''}`,
        pointLabel(cell.point),
        cell.path,
        ...figures(cell),
        ratio === null ? null : ratioWithInterval(ratio),
        remarks(cell),
      ];
    }),
  );
  return table(
    [
      { name: 'what' },
      { name: 'point' },
      { name: 'contestant' },
      { name: 'median', number: true },
      { name: 'interval', number: true },
      { name: 'rounds', number: true },
      { name: 'ours is better by', number: true },
      { name: 'remarks' },
    ],
    rows,
  );
}

function figures({ estimate, unit }: Cell): (string | Html)[] {
  if (estimate === null) return [html`<span class="bad">no number</span>`, '–', '0'];
  const { value, low, high, n, level } = estimate;
  const interval = n === 1 ? 'one sample' : `${figure(low, unit)} – ${figure(high, unit)}`;
  return [
    figure(value, unit),
    n === 1 ? interval : html`<span title="${`${Math.round(level * 100)} %`}">${interval}</span>`,
    String(n),
  ];
}

/** What was wrong, each reason once, with how often. */
function remarks({ noisy, failed }: Cell): Html | null {
  if (noisy.length + failed.length === 0) return null;
  return html`${counted(failed).map((text) => html`<span class="bad">failed: ${text}</span> `)}${counted(
    noisy,
  ).map((text) => html`<span class="warn">noisy: ${text}</span> `)}`;
}

export function counted(reasons: readonly string[]): string[] {
  const counts = new Map<string, number>();
  // The same reason with other figures in it is the same reason.
  const general = (reason: string): string => reason.replace(/\d+(\.\d+)?/g, '#');
  const examples = new Map<string, string>();
  for (const reason of reasons) {
    const key = general(reason);
    counts.set(key, (counts.get(key) ?? 0) + 1);
    if (!examples.has(key)) examples.set(key, reason);
  }
  return [...counts].map(([key, count]) => `${examples.get(key)}${count > 1 ? ` (${count} rounds)` : ''}`);
}
