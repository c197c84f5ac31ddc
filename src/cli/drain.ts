import { type Command, InvalidArgumentError } from 'commander';
import { printJson, printLine } from './print.ts';
import { plain } from './table.ts';

interface Flags {
  readonly socket?: string;
  readonly migrates?: boolean;
  readonly undo?: boolean;
  readonly timeout: number;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command('drain')
    .description(
      'have the connections of a member leave shared memory, before its device is unplugged (on the host)',
    )
    .argument('<member>', 'its name, or its slot as a number')
    .option(
      '--socket <path>',
      "the region's socket (default: IVSHMEM_SOCKET, else /run/ivshmem/default.sock)",
    )
    .option('--migrates', 'tell the others that it migrated, when it is unplugged then')
    .option('--timeout <seconds>', 'how long to wait for them', seconds, 10)
    .option('--undo', 'it stays after all')
    .option('--json', 'print the member and the channels it still has as JSON')
    .action(run);
}

async function run(named: string, flags: Flags): Promise<void> {
  const { ControlClient } = await import('../host/control-client.ts');
  const { controlPath } = await import('../host/control-path.ts');
  const { DEFAULT_SOCKET } = await import('./region/source.ts');
  if (named === '') throw new InvalidArgumentError('The name is empty.');
  const socket = flags.socket ?? (process.env.IVSHMEM_SOCKET || DEFAULT_SOCKET);
  const client = await ControlClient.connect(controlPath(socket));
  const wanted = /^\d+$/.test(named) ? Number(named) : named;
  try {
    if (flags.undo) {
      const { member } = await client.ask({ op: 'undrain', member: wanted });
      if (flags.json) printJson({ member });
      else printLine(`${plain(member.name)} (slot ${member.slot}, epoch ${member.epoch}) stays`);
      return;
    }
    const migrates = flags.migrates ?? false;
    const ms = flags.timeout * 1000;
    const { member, channels } = await client.ask({ op: 'drain', member: wanted, migrates, ms });
    if (flags.json) {
      printJson({ member, channels });
      return;
    }
    const still = channels === 0 ? 'has no channels any more' : `still has ${channels} channels`;
    printLine(`${plain(member.name)} (slot ${member.slot}, epoch ${member.epoch}) ${still}`);
  } finally {
    client.close();
  }
}

function seconds(text: string): number {
  if (/^\d{1,3}$/.test(text) && Number(text) <= 600) return Number(text);
  throw new InvalidArgumentError('Not a number of seconds from 0 to 600.');
}
