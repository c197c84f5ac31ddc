import { type Cell, groupBy } from '../cells.ts';
import type { Study } from '../results.ts';
import { type Html, html, raw } from './html.ts';
import { looksOf } from './palette.ts';
import { plotsOf } from './sections.ts';
import { style } from './style.ts';
import { cellTable } from './table.ts';
import { textOf } from './texts.ts';

/** A part of the report that is not an experiment: the seeds' table, the projection, profiles. */
export interface Part {
  readonly id: string;
  readonly name: string;
  readonly body: Html;
}

/** The report as one HTML file that fetches nothing. */
export function page(study: Study, cells: readonly Cell[], parts: readonly Part[]): string {
  const looks = looksOf(cells);
  const experiments = groupBy(cells, ({ experiment }) => experiment).map((own): Part => {
    const { experiment } = own[0]!;
    const { name, text } = textOf(experiment);
    const plots = plotsOf(own, looks);
    const body = html`<p>${text}</p>${
      plots.length === 0
        ? html`<p class="bad">Nothing was measured.</p>`
        : html`<div class="plots">${plots}</div>`
    }${trouble(own)}<details><summary>All figures</summary>${cellTable(own)}</details>`;
    return { id: experiment, name, body };
  });
  return document(study, [...parts.slice(0, 1), ...experiments, ...parts.slice(1), about(study)]);
}

/** How many points have no number, or hardly one to trust; said above the figures, not only in them. */
function trouble(cells: readonly Cell[]): Html | null {
  const without = cells.filter(({ estimate }) => estimate === null).length;
  const noisy = cells.filter(({ estimate, noisy }) => estimate !== null && noisy.length > 0).length;
  if (without + noisy === 0) return null;
  return html`<p>${without > 0 ? html`<span class="bad">${without} of ${cells.length} figures are missing.</span> ` : null}${
    noisy > 0
      ? html`<span class="warn">${noisy} of ${cells.length} have noisy samples (hollow marks: at least half of them).</span>`
      : null
  } The reasons are in the table.</p>`;
}

function document({ machine, plan, notes }: Study, parts: readonly Part[]): string {
  const title = `ivshmem study: ${machine.name}, ${machine.at.slice(0, 10)}`;
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title><style>${raw(style)}</style></head>
<body><header><h1>${title}</h1>
<p class="faint">${machine.cpu}, ${machine.cpus} processors${machine.hypervisor ? ', in a virtual machine' : ''}; Linux ${machine.kernel}; accelerator of VMs: ${machine.accelerator}; Node ${machine.node}; ivshmem ${machine.version}.
${plan.quick ? 'A quick study: fewer points and rounds than the whole one. ' : ''}${plan.rounds} rounds.</p>
${notes.length === 0 ? null : html`<ul>${notes.map((note) => html`<li class="warn">${note}</li>`)}</ul>`}
<nav aria-label="Contents"><ul>${parts.map(({ id, name }) => html`<li><a href="#${id}">${name}</a></li>`)}</ul></nav></header>
<main>${parts.map(({ id, name, body }) => html`<section id="${id}"><h2>${name}</h2>${body}</section>`)}</main></body></html>
`.html;
}

const METHOD = 'https://www.npmjs.com/package/ivshmem';

function about({ machine, plan }: Study): Part {
  const entries: [string, string][] = [
    ['Processor', `${machine.cpu}; ${machine.cpus}, ${machine.memoryGiB} GiB of memory`],
    ['Caches', machine.caches.join('; ')],
    ['Virtual machine', machine.hypervisor ? 'yes: processors are shared with others' : 'no'],
    ['Kernel', `${machine.kernel} ${machine.kernelOptions}`],
    [
      'Mitigations',
      Object.entries(machine.mitigations)
        .map(([name, state]) => `${name}: ${state}`)
        .join('; ') || 'none',
    ],
    ['Load when it began', machine.load.map((each) => each.toFixed(2)).join(', ')],
    ['QEMU', `${machine.qemu}; ${machine.accelerator}`],
    ['Node', machine.node],
    ['ivshmem', `${machine.version}, ${machine.commit}`],
    [
      'Samples',
      `${plan.ms} ms each after ${plan.warmUpMs} ms of warm-up, ${plan.rounds} rounds in random order (seed ${plan.seed})`,
    ],
    ['Processors used', plan.cpus.join(', ') || 'any'],
    [
      'Noisy',
      `a sample during which others used more than ${plan.maxOthers} of a processor; it is kept, and marked`,
    ],
  ];
  const body = html`<dl>${entries.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
<p>Every round measures every contestant once, in a random order of its own. A figure is the median of its rounds; its interval
holds the true median with 95 % (resampled; of fewer than six rounds the range, which holds it with 1 − 2<sup>1−n</sup>: 94 % for five).
A ratio is the median of the rounds' own ratios, with an interval made in the same way. Nothing measured is left out.
The method is written down in docs/study.md of the <a href="${METHOD}">package's</a> repository.</p>`;
  return { id: 'about', name: 'Machine and method', body };
}
