import type { Command } from 'commander';
import { IvshmemError } from '../errors/index.ts';
import type { ServerConfigInput } from '../host/index.ts';
import { printLine } from './print.ts';

interface Flags {
  readonly config?: string;
  readonly check?: boolean;
  readonly log?: string;
  readonly admit?: string[];
  readonly [regionKey: string]: unknown;
}

/** Flags that describe the one region of a server without a configuration file. */
const REGION_KEYS = [
  'name',
  'socket',
  'mode',
  'group',
  'size',
  'slots',
  'vectors',
  'channels',
  'memory',
  'file',
];
const NUMBERS = new Set(['slots', 'vectors', 'channels']);

export function register(program: Command): void {
  program
    .command('server')
    .description('serve shared memory to VMs and processes (QEMU ivshmem-doorbell)')
    .option('--config <file>', 'TOML file with any number of regions, instead of the flags below')
    .option('--name <name>', 'region name (default: default)')
    .option('--socket <path>', 'where clients connect; @name for an abstract socket')
    .option('--mode <octal>', 'mode of the socket (default: 0600)')
    .option('--group <group>', 'group of the socket')
    .option('--size <bytes>', 'a power of two, with K, M or G (default: 64M)')
    .option('--slots <n>', "members at once, the server's own slot included (default: 64)")
    .option('--vectors <n>', 'MSI-X vectors per member (default: 2)')
    .option('--channels <n>', 'entries of the channel table (default: 4096)')
    .option('--memory <kind>', 'memfd, hugepages or file (default: memfd)')
    .option('--file <path>', 'with --memory file: normally below /dev/shm')
    .option('--admit <rule...>', '"any", or uid=ID,gid=ID,pid=ID (default: this user and root)')
    .option('--log <level>', 'fatal, error, warn, info, debug, trace or silent (default: info)')
    .option('--check', 'only check the configuration')
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const { activatedSockets, createServer, parseConfig, readConfig } = await import('../host/index.ts');
  const [given, on] =
    flags.config === undefined
      ? [fromFlags(flags), 'given by the flags']
      : [readConfig(fromFile(flags)), `of ${flags.config} and the flags`];
  const config = parseConfig(flags.log === undefined ? given : { ...given, log: flags.log }, on);
  if (flags.check) {
    printLine(`${config.regions.length} region(s): ${config.regions.map(({ name }) => name).join(', ')}`);
    return;
  }
  const { pino } = await import('pino');
  // Synchronous: a line written before a crash is there to read.
  const log = pino({ level: config.log, base: null }, pino.destination({ dest: 2, sync: true }));
  const sockets = activatedSockets(process.env, process.pid);
  const server = await createServer(config as ServerConfigInput, { log, sockets });
  const stop = (signal: string): void => {
    log.info({ signal }, 'stopping');
    void server.close();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  process.on('SIGUSR2', () => log.info(server.status(), 'status'));
}

function fromFile(flags: Flags): string {
  const extra = [...REGION_KEYS, 'admit'].find((key) => flags[key] !== undefined);
  if (extra !== undefined) throw usage(`--${extra}`, 'it does not go with --config; write it into the file');
  return flags.config!;
}

/** Values stay as text where the schema takes text; the schema checks them all. */
function fromFlags(flags: Flags): object {
  const region: Record<string, unknown> = { name: 'default' };
  for (const key of REGION_KEYS) {
    const value = flags[key];
    if (value !== undefined) region[key] = NUMBERS.has(key) ? Number(value) : value;
  }
  if (flags.admit !== undefined) region.admit = admitRules(flags.admit);
  return { regions: [region] };
}

function admitRules(rules: readonly string[]): unknown {
  if (rules.length === 1 && rules[0] === 'any') return 'any';
  return rules.map((rule) => Object.fromEntries(rule.split(',').map(admitField)));
}

function admitField(field: string): [string, unknown] {
  const [key, value] = field.split('=');
  if (key === undefined || value === undefined)
    throw usage('--admit', `"${field}" is not uid=, gid= or pid=`);
  return [key, /^\d+$/.test(value) ? Number(value) : value];
}

function usage(on: string, why: string): IvshmemError {
  return new IvshmemError('ERR_IVSHMEM_SERVER_CONFIG', { on, why });
}
