import type { Command } from 'commander';
import { IvshmemError } from '../errors/index.ts';
import { SPACE_NAME_BYTES } from '../memory/layout.ts';
import { isName } from '../memory/names.ts';
import { counted, describe } from './dsm-status.ts';
import { printJson, printLine } from './print.ts';
import { SOCKET_OPTION } from './region/named-member.ts';
import type { Place } from './region/source.ts';
import { plain } from './table.ts';

interface Flags extends Place {
  readonly json?: boolean;
  readonly heat?: string;
  readonly force?: boolean;
}

export function register(program: Command): void {
  const dsm = program.command('dsm').description('the spaces of a region: memory that members share by name');
  dsm
    .command('status')
    .description('list them: of the server on a host, through the ivshmem device in a VM')
    .option(...SOCKET_OPTION)
    .option('--device <device>', 'PCI address or region name, where a VM has several devices')
    .option('--heat <file>', 'also draw where pages of spread spaces come and go, as SVG')
    .option('--json', 'print as JSON')
    .action(status);
  dsm
    .command('remove')
    .description(
      "have a persistent space go with its last holder (on the host, as the server's user or root)",
    )
    .argument('<name>', 'of the space')
    .option('--force', 'a space that spreads over hosts: take it from all members that have it open')
    .option(...SOCKET_OPTION)
    .option('--json', 'print how many members still hold it as JSON')
    .action(remove);
}

async function status(flags: Flags): Promise<void> {
  const { openSource } = await import('./region/source.ts');
  const source = await openSource(flags);
  try {
    const report = await source.spaces();
    if (flags.heat !== undefined) {
      const [{ writeFileSync }, { heatPicture }] = await Promise.all([
        import('node:fs'),
        import('./dsm-heat.ts'),
      ]);
      writeFileSync(flags.heat, heatPicture(report));
    }
    if (flags.json) printJson(report);
    else for (const line of describe(report)) printLine(line);
  } finally {
    source.close();
  }
}

async function remove(name: string, flags: Flags): Promise<void> {
  const { askServer } = await import('./region/ask-server.ts');
  const { serverSocket } = await import('./region/source.ts');
  // There is none of a name that cannot be.
  if (!isName(name, SPACE_NAME_BYTES)) {
    const operation = `remove the space ${plain(name)}`;
    throw new IvshmemError('ERR_IVSHMEM_SPACE_MISSING', { operation, on: serverSocket(flags.socket) });
  }
  const { holders, hosts } = await askServer(flags.socket, (client) =>
    client.ask({ op: 'remove-space', space: name, ...(flags.force && { force: true }) }),
  );
  const on = hosts?.map(plain).join(', ');
  if (flags.json) printJson({ space: name, holders, hosts });
  else if (on && flags.force) printLine(`${plain(name)} is gone, also for the members on ${on}`);
  else if (on) printLine(`${plain(name)} goes when the last member on ${on} lets go of it`);
  else if (holders === 0) printLine(`${plain(name)} is gone`);
  else printLine(`${plain(name)} goes when the last of ${counted(holders, 'member')} lets go of it`);
}
