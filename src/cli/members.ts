import type { Command } from 'commander';
import type { MemberReport, MembersReport } from '../observe/sample.ts';
import { output, printJson, printLine } from './print.ts';
import type { Place, Update } from './region/source.ts';
import { plain, table } from './table.ts';

interface Flags extends Place {
  readonly watch?: boolean;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command('members')
    .description('list who is in a region: of the server on a host, through the ivshmem device in a VM')
    .option(
      '--socket <path>',
      "the region's socket (default: IVSHMEM_SOCKET, else /run/ivshmem/default.sock)",
    )
    .option('--device <device>', 'PCI address or region name, where a VM has several devices')
    .option('--watch', 'then print a line for each change, until interrupted')
    .option('--json', 'print as JSON; with --watch one object per line')
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const { openSource } = await import('./region/source.ts');
  const source = await openSource(flags);
  try {
    if (!flags.watch) {
      const report = await source.members();
      if (flags.json) printJson(report);
      else for (const line of describe(report)) printLine(line);
      return;
    }
    if (source.note !== null) process.stderr.write(`note: ${source.note}\n`);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => source.close());
    for await (const update of source.updates()) {
      if (flags.json) output.write(`${JSON.stringify(update)}\n`);
      else for (const line of describeUpdate(update)) printLine(line);
    }
  } finally {
    source.close();
  }
}

/** Everybody as lines of text. */
export function describe({ region, view, members }: MembersReport): string[] {
  const count = members.length === 1 ? '1 member' : `${members.length} members`;
  const lines = [`region ${plain(region)}, view ${view}: ${members.length === 0 ? 'nobody' : count}`];
  if (members.length === 0) return lines;
  const rows = members.map((member) => [
    String(member.slot),
    String(member.epoch),
    plain(member.name) || '-',
    member.state,
    member.backend,
    String(member.pid),
    member.since,
    said(member),
  ]);
  return [...lines, ...table(['SLOT', 'EPOCH', 'NAME', 'STATE', 'BACKEND', 'PID', 'SINCE', ''], rows)];
}

/** What a member says of itself, and what it listens to. */
function said({ addresses, labels, listeners, listenersTruncated }: MemberReport): string {
  const parts = [
    ...addresses,
    ...Object.entries(labels).map(([key, value]) => `${key}=${value}`),
    ...(listeners.length > 0
      ? [`listens to ${listeners.join(', ')}${listenersTruncated ? ' and more' : ''}`]
      : []),
  ];
  return plain(parts.join(', '));
}

export function describeUpdate(update: Update): string[] {
  if (update.event === 'members') return describe(update);
  const { event, view, at, reason, member } = update;
  const who = `${plain(member.name)} (slot ${member.slot}, epoch ${member.epoch}, ${member.backend})`;
  const what = event === 'leave' ? `leave     ${who}: ${reason}` : `${event.padEnd(9)} ${who}`;
  const details = event === 'join' || event === 'update' ? said(member) : '';
  return [`${at} view ${view} ${what}${details === '' ? '' : ` ${details}`}`];
}
