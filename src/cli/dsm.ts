import type { Command } from 'commander';
import type { SpacesReport } from '../observe/sample.ts';
import { formatBytes, printJson, printLine } from './print.ts';
import { SOCKET_OPTION } from './region/named-member.ts';
import type { Place } from './region/source.ts';
import { plain, table } from './table.ts';

interface Flags extends Place {
  readonly json?: boolean;
}

export function register(program: Command): void {
  const dsm = program.command('dsm').description('the spaces of a region: memory that members share by name');
  dsm
    .command('status')
    .description('list them: of the server on a host, through the ivshmem device in a VM')
    .option(...SOCKET_OPTION)
    .option('--device <device>', 'PCI address or region name, where a VM has several devices')
    .option('--json', 'print as JSON')
    .action(status);
  dsm
    .command('remove')
    .description(
      "have a persistent space go with its last holder (on the host, as the server's user or root)",
    )
    .argument('<name>', 'of the space')
    .option(...SOCKET_OPTION)
    .option('--json', 'print how many members still hold it as JSON')
    .action(remove);
}

async function status(flags: Flags): Promise<void> {
  const { openSource } = await import('./region/source.ts');
  const source = await openSource(flags);
  try {
    const report = await source.spaces();
    if (flags.json) printJson(report);
    else for (const line of describe(report)) printLine(line);
  } finally {
    source.close();
  }
}

async function remove(name: string, flags: Flags): Promise<void> {
  const { askServer } = await import('./region/ask-server.ts');
  const { holders } = await askServer(flags.socket, (client) =>
    client.ask({ op: 'remove-space', space: name }),
  );
  if (flags.json) printJson({ space: name, holders });
  else if (holders === 0) printLine(`${plain(name)} is gone`);
  else printLine(`${plain(name)} goes when the last of ${counted(holders, 'member')} lets go of it`);
}

/** All spaces as lines of text. */
export function describe({ region, spaces }: SpacesReport): string[] {
  const head = `region ${plain(region)}: ${spaces.length === 0 ? 'no spaces' : counted(spaces.length, 'space')}`;
  if (spaces.length === 0) return [head];
  const rows = spaces.map(({ name, bytes, memoryBytes, holders, persistent, createdBy }) => [
    plain(name),
    formatBytes(bytes),
    formatBytes(memoryBytes),
    String(holders),
    persistent ? 'yes' : 'no',
    createdBy === null ? '-' : plain(createdBy),
  ]);
  return [head, ...table(['NAME', 'SIZE', 'TAKES', 'HOLDERS', 'PERSISTENT', 'MADE BY'], rows)];
}

const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
