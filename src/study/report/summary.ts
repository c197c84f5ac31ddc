import { besideEachOther, type Cell, groupBy } from '../cells.ts';
import { oursAgainst } from '../ours.ts';
import type { Study } from '../results.ts';
import { pointLabel, ratioWithInterval, title, withInterval } from './format.ts';
import { counted } from './table.ts';
import { textOf } from './texts.ts';

/** A table in Markdown. */
export function markdownTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}

/** The study in Markdown: `parts` (the seeds' table, the projection), then a table for each experiment. */
export function summary(
  { machine, plan, notes }: Study,
  cells: readonly Cell[],
  parts: readonly string[],
): string {
  const head = `# Study: ${machine.name}, ${machine.at.slice(0, 10)}

${machine.cpu}, ${machine.cpus} processors${machine.hypervisor ? ', in a virtual machine' : ''}; Linux ${machine.kernel}; accelerator of VMs: ${machine.accelerator}; Node ${machine.node}; ivshmem ${machine.version} (${machine.commit}).
${plan.quick ? 'Quick: ' : ''}${plan.rounds} rounds. A figure is a median with its interval; a ratio above 1 says that ours is better.`;
  const said = notes.map((note) => `- ${note}`).join('\n');
  const experiments = groupBy(cells, ({ experiment }) => experiment).map(section);
  return `${[head, said, ...parts, ...experiments].filter((part) => part !== '').join('\n\n')}\n`;
}

function section(cells: readonly Cell[]): string {
  const rows = besideEachOther(cells).flatMap((set) => {
    return set.map((cell) => {
      const ratio = oursAgainst(cell, set);
      return [
        `${title(cell.metric)}${cell.where === 'vm' ? ' (VMs)' : ''}`,
        pointLabel(cell.point),
        cell.path,
        cell.estimate === null ? '**no number**' : withInterval(cell.estimate, cell.unit),
        ratio === null ? '' : ratioWithInterval(ratio),
        [...counted(cell.failed), ...counted(cell.noisy).map((reason) => `noisy: ${reason}`)].join('; '),
      ];
    });
  });
  const heads = ['what', 'point', 'contestant', 'median [interval]', 'ours is better by', 'remarks'];
  return `## ${textOf(cells[0]!.experiment).name}\n\n${markdownTable(heads, rows)}`;
}
