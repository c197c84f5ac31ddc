import { type Command, InvalidArgumentError } from 'commander';
import { printJson, printLine } from './print.ts';
import { askAbout, called, MEMBER_ARGUMENT, SOCKET_OPTION } from './region/named-member.ts';

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
    .argument(...MEMBER_ARGUMENT)
    .option(...SOCKET_OPTION)
    .option('--migrates', 'tell the others that it migrated, when it is unplugged then')
    .option('--timeout <seconds>', 'how long to wait for them', seconds, 10)
    .option('--undo', 'it stays after all')
    .option('--json', 'print the member and the channels it still has as JSON')
    .action(run);
}

async function run(named: string, flags: Flags): Promise<void> {
  if (flags.undo) {
    const { member } = await askAbout(named, flags.socket, (client, wanted) =>
      client.ask({ op: 'undrain', member: wanted }),
    );
    if (flags.json) printJson({ member });
    else printLine(`${called(member)} stays`);
    return;
  }
  const how = { migrates: flags.migrates ?? false, ms: flags.timeout * 1000 };
  const { member, channels } = await askAbout(named, flags.socket, (client, wanted) =>
    client.ask({ op: 'drain', member: wanted, ...how }),
  );
  if (flags.json) {
    printJson({ member, channels });
    return;
  }
  const still = channels === 0 ? 'has no channels any more' : `still has ${channels} channels`;
  printLine(`${called(member)} ${still}`);
}

function seconds(text: string): number {
  if (/^\d{1,3}$/.test(text) && Number(text) <= 600) return Number(text);
  throw new InvalidArgumentError('Not a number of seconds from 0 to 600.');
}
