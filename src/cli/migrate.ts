import { type Command, InvalidArgumentError } from 'commander';
import { printJson, printLine } from './print.ts';
import { plain } from './table.ts';

interface Flags {
  readonly qmp: string;
  readonly toQmp: string;
  readonly uri?: string;
  readonly socket?: string;
  readonly toSocket?: string;
  readonly toBus?: string[];
  readonly member?: string[];
  readonly drainTimeout: number;
  readonly unplugTimeout: number;
  readonly timeout: number;
  readonly check?: boolean;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command('migrate')
    .description(
      'migrate a running VM with its ivshmem devices to another host (on its host, docs/migrate.md)',
    )
    .argument('<device...>', 'IDs in QEMU of all ivshmem-doorbell devices of the VM')
    .requiredOption('--qmp <socket>', 'QMP of the source: a UNIX socket, or host:port')
    .requiredOption('--to-qmp <socket>', 'QMP of the destination, which was started with -incoming')
    .option('--uri <uri>', 'where the destination waits, as the source reaches it (default: asked of it)')
    .option(
      '--socket <path>',
      "socket of the source's server (default: IVSHMEM_SOCKET, else /run/ivshmem/default.sock)",
    )
    .option('--to-socket <path>', "socket of the destination's server, on its host (default: as --socket)")
    .option('--to-bus <bus...>', 'for each device at the destination (default: as at the source)')
    .option(
      '--member <member...>',
      'names or slots of the members in the VM (default: found by the process of QEMU)',
    )
    .option('--drain-timeout <seconds>', 'for connections to go back to TCP', seconds, 10)
    .option('--unplug-timeout <seconds>', 'for the guest to let go of the device', seconds, 60)
    .option('--timeout <seconds>', 'for the migration itself', seconds, 600)
    .option('--check', 'only look whether it can be done')
    .option('--json', 'print what was done (with --check, what would be) as JSON')
    .action(run);
}

async function run(devices: string[], flags: Flags): Promise<void> {
  const { Migration } = await import('../migrate/migrate.ts');
  const { serverSocket } = await import('./region/source.ts');
  const socket = serverSocket(flags.socket);
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, stop);
  // With --json, stdout is for the result alone.
  const say = flags.json ? (line: string): void => void process.stderr.write(`${line}\n`) : printLine;
  const migration = await Migration.open(
    {
      ...{ devices, socket, toSocket: flags.toSocket ?? socket, uri: flags.uri, toBuses: flags.toBus },
      members: flags.member?.map((member) => (/^\d+$/.test(member) ? Number(member) : member)),
      drainMs: flags.drainTimeout * 1000,
      unplugMs: flags.unplugTimeout * 1000,
      migrateMs: flags.timeout * 1000,
    },
    { source: flags.qmp, destination: flags.toQmp },
    (step, text) => say(`${step}: ${plain(text)}`),
    abort.signal,
  );
  try {
    if (!flags.check) {
      const report = await migration.run();
      if (flags.json) printJson(report);
      return;
    }
    const plan = await migration.check();
    if (flags.json) printJson(plan);
    else printLine('nothing stands in the way');
  } finally {
    for (const signal of signals) process.off(signal, stop);
    migration.close();
  }
}

function seconds(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) > 0) return Number(text);
  throw new InvalidArgumentError('Not a number of seconds from 1 on.');
}
