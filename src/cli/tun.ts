import { hostname } from 'node:os';
import { type Command, InvalidArgumentError } from 'commander';
import { printLine } from './print.ts';
import type { Place } from './region/source.ts';
import { plain } from './table.ts';

interface Flags extends Place {
  readonly address: string[];
  readonly name?: string;
  readonly member?: string;
  readonly mtu?: number;
  readonly queues?: number;
}

/** `ivshmem tun`: an IP interface over shared memory, until interrupted. */
export function register(program: Command): void {
  program
    .command('tun')
    .description('give this machine an IP interface to the other members of a region that have one')
    .requiredOption(
      '--address <address/prefix...>',
      'its IPv4 or IPv6 address, or one of each, with the prefix of the network that peers are in',
    )
    .option('--name <name>', 'of the interface (default: ivshm and the next free number)')
    .option('--member <name>', 'of this member of the region (default: tun- and the host name)')
    .option('--mtu <bytes>', '1280 to 65535 (default: 1500)', number)
    .option('--queues <number>', '1 to 16 threads that carry packets (default: 1)', number)
    .option(
      '--socket <path>',
      "the region's socket, on a host (default: IVSHMEM_SOCKET, else this machine's ivshmem device)",
    )
    .option('--device <device>', 'PCI address or region name, where a VM has several devices')
    .action(run);
}

async function run({ address, name, member, mtu, queues, socket, device }: Flags): Promise<void> {
  const { open } = await import('../channel/open.ts');
  const { Tun } = await import('../tun/index.ts');
  const isPci = device !== undefined && /^[0-9a-f]{2,}:[0-9a-f:.]+$/i.test(device);
  const region = await open({
    name: member ?? `tun-${hostname()}`.slice(0, 32),
    ...(socket === undefined ? {} : { socket }),
    ...(device === undefined ? {} : isPci ? { address: device } : { region: device }),
  });
  try {
    const tun = await Tun.open(region, {
      addresses: address,
      ...(name === undefined ? {} : { name }),
      ...(mtu === undefined ? {} : { mtu }),
      ...(queues === undefined ? {} : { queues }),
    });
    printLine(`${tun.name} is up: ${tun.addresses.join(', ')}, member ${plain(region.name)}`);
    for (const { name: peer, addresses } of tun.peers()) printLine(came(peer, addresses));
    tun.on('peer', (peer) => printLine(came(peer.name, peer.addresses)));
    tun.on('gone', (peer, why) => printLine(`- ${plain(peer.name)} ${peer.addresses.join(', ')}: ${why}`));
    tun.on('warning', (error) => process.stderr.write(`warning: ${error.message}\n`));
    const ended = new Promise<Error | null>((resolve) => tun.on('close', resolve));
    const stop = (): void => tun.close();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
    const error = await ended;
    if (error !== null) throw error;
    printLine(summary(tun.counters()));
  } finally {
    await region.close();
  }
}

function came(name: string, addresses: readonly string[]): string {
  return `+ ${plain(name)} ${addresses.join(', ')}`;
}

function summary(counters: import('../tun/index.ts').PacketCounters): string {
  const { packetsSent, packetsReceived, ...rest } = counters;
  const dropped = (
    ['noRoute', 'congested', 'malformed', 'offload', 'source', 'destination', 'refused'] as const
  )
    .filter((reason) => rest[reason] > 0)
    .map((reason) => `${rest[reason]} ${reason}`);
  const tail = dropped.length === 0 ? 'none dropped' : `dropped: ${dropped.join(', ')}`;
  return `${packetsSent} packets sent, ${packetsReceived} received, ${tail}`;
}

function number(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Not a number.');
  return Number(text);
}
