import { type Command, InvalidArgumentError } from 'commander';
import { printJson, printLine } from './print.ts';
import { plain } from './table.ts';

interface Flags {
  readonly socket?: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command('evict')
    .description("take a member out of a region for good (on the host, as the server's user or root)")
    .argument('<member>', 'its name, or its slot as a number')
    .option(
      '--socket <path>',
      "the region's socket (default: IVSHMEM_SOCKET, else /run/ivshmem/default.sock)",
    )
    .option('--json', 'print the member as JSON')
    .action(run);
}

async function run(named: string, flags: Flags): Promise<void> {
  const { ControlClient } = await import('../host/control-client.ts');
  const { controlPath } = await import('../host/control-path.ts');
  const { DEFAULT_SOCKET } = await import('./region/source.ts');
  if (named === '') throw new InvalidArgumentError('The name is empty.');
  const socket = flags.socket ?? (process.env.IVSHMEM_SOCKET || DEFAULT_SOCKET);
  const client = await ControlClient.connect(controlPath(socket));
  try {
    const { member } = await client.ask({ op: 'evict', member: /^\d+$/.test(named) ? Number(named) : named });
    if (flags.json) printJson(member);
    else {
      printLine(
        `${plain(member.name)} (slot ${member.slot}, epoch ${member.epoch}) is evicted; its slot is free again`,
      );
      printLine('when its VM or process ends, until which it keeps the memory and the doorbells it has');
    }
  } finally {
    client.close();
  }
}
