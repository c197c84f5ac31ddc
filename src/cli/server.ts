import { type Command, Option } from 'commander';
import { IvshmemError } from '../errors/index.ts';
import type { Log, ServerConfig, ServerConfigInput } from '../host/index.ts';
import { printLine } from './print.ts';

type Host = typeof import('../host/index.ts');

interface Flags {
  readonly supervised?: boolean;
  readonly replace?: boolean;
  readonly standby?: string;
  readonly config?: string;
  readonly check?: boolean;
  readonly log?: string;
  readonly metrics?: string;
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
  'control',
  'directory',
];
const NUMBERS = new Set(['slots', 'vectors', 'channels']);
/** Characters of log that wait for room. */
const MOST_UNWRITTEN = 1 << 20;

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
    .option('--admit <rule...>', '"any", or uid=ID,gid=ID,pid=ID,slots=N (default: this user and root)')
    .option('--log <level>', 'fatal, error, warn, info, debug, trace or silent (default: info)')
    .option('--control <path>', 'where operators ask (default: the socket with .control added)')
    .option('--directory <path>', 'repeat who is here in this file, which members cannot write')
    .option('--metrics <address>', 'serve metrics for Prometheus on address:port or a UNIX socket')
    .option('--supervised', 'keep a second process loaded that goes on where a server that died was')
    .option('--replace', 'take the regions over from the running server')
    .addOption(new Option('--standby <socket>', 'wait for the word of a supervisor').hideHelp())
    .option('--check', 'only check the configuration')
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const host = await import('../host/index.ts');
  const { parseConfig, readConfig } = host;
  const [given, on] =
    flags.config === undefined
      ? [fromFlags(flags), 'given by the flags']
      : [readConfig(fromFile(flags)), `of ${flags.config} and the flags`];
  const { log: level, metrics } = flags;
  const more = {
    ...(level === undefined ? {} : { log: level }),
    ...(metrics === undefined ? {} : { metrics }),
  };
  const config = parseConfig({ ...given, ...more }, on);
  if (flags.check) {
    printLine(`${config.regions.length} region(s): ${config.regions.map(({ name }) => name).join(', ')}`);
    return;
  }
  const { pino } = await import('pino');
  // Synchronous: a line written before a crash is there to read.
  const lines = pino.destination({ dest: 2, sync: true, maxLength: MOST_UNWRITTEN });
  // On a disk that is full: they are written when there is room again, and the last of them are not. The server goes on.
  lines.on('error', () => {});
  const log = pino({ level: config.log, base: null }, lines);
  if (flags.supervised) await supervise(host, log);
  else await serve(host, config, flags, log);
}

/** The same command line, without the supervisor, is the server's. */
async function supervise({ Supervisor }: Host, log: Log): Promise<void> {
  const [script, ...args] = process.argv.slice(1);
  const own = args.filter((arg) => arg !== '--supervised');
  const supervisor = new Supervisor({
    command: [process.execPath, ...process.execArgv, script!, ...own],
    env: process.env,
    log: log.child({ supervisor: process.pid }),
  });
  const stop = (): void => supervisor.stop();
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', () => supervisor.restart());
  process.exitCode = await supervisor.ended;
}

async function serve(host: Host, config: ServerConfig, flags: Flags, log: Log): Promise<void> {
  const keeper = host.keeperOf(process.env, log, config.regions, flags.standby !== undefined);
  const { sockets, kept } =
    flags.standby === undefined
      ? host.passedDescriptors(process.env, process.pid)
      : { sockets: new Map<string, number>(), kept: await host.receiveWord(flags.standby) };
  // null: the supervisor is gone, and nobody shall serve.
  if (kept === null) return;
  const server = await host.createServer(config as ServerConfigInput, {
    log,
    sockets,
    kept,
    keeper,
    replace: flags.replace === true && kept.size === 0,
  });
  process.once('SIGTERM', (signal) => {
    log.info({ signal }, keeper?.holds ? 'leaving the regions to the next server' : 'stopping');
    keeper?.stopping();
    // The regions stay, for the next server; to other hosts this is the end of this one.
    if (keeper?.holds) void server.leaveHosts().finally(() => process.exit());
    else void server.close();
  });
  process.once('SIGINT', (signal) => {
    log.info({ signal }, 'stopping');
    void server.close();
  });
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
  const [, key, value] = /^(uid|gid|pid|slots)=([^=]+)$/.exec(field) ?? [];
  if (key === undefined || value === undefined)
    throw usage('--admit', `"${field}" is not uid=, gid=, pid= or slots=`);
  return [key, /^\d+$/.test(value) ? Number(value) : value];
}

function usage(on: string, why: string): IvshmemError {
  return new IvshmemError('ERR_IVSHMEM_SERVER_CONFIG', { on, why });
}
