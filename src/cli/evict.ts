import type { Command } from 'commander';
import { printJson, printLine } from './print.ts';
import { askAbout, called, MEMBER_ARGUMENT, SOCKET_OPTION } from './region/named-member.ts';

interface Flags {
  readonly socket?: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command('evict')
    .description("take a member out of a region for good (on the host, as the server's user or root)")
    .argument(...MEMBER_ARGUMENT)
    .option(...SOCKET_OPTION)
    .option('--json', 'print the member as JSON')
    .action(run);
}

async function run(named: string, flags: Flags): Promise<void> {
  const { member } = await askAbout(named, flags.socket, (client, wanted) =>
    client.ask({ op: 'evict', member: wanted }),
  );
  if (flags.json) printJson(member);
  else {
    printLine(`${called(member)} is evicted; its slot is free again`);
    printLine('when its VM or process ends, until which it keeps the memory and the doorbells it has');
  }
}
