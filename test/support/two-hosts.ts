import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { openSpace } from '../../src/dsm/index.ts';
import { isIvshmemError } from '../../src/errors/index.ts';
import { createServer, type IvshmemServer, type ServerConfigInput } from '../../src/host/index.ts';
import { open, type Region } from '../../src/index.ts';
import { Authority } from '../host/hosts/support/certificates.ts';
import { until } from './protocol/until.ts';

/** Two servers as on two hosts, `a` and `b`, which have each other in their lists, on ports of loopback; each with a region. */
export interface TwoHosts {
  readonly servers: readonly IvshmemServer[];
  readonly sockets: readonly string[];
  /** A member of this process. */
  member(host: number, name: string): Promise<Region>;
  /** Everything is gone when it resolves. */
  close(): Promise<void>;
}

export interface TwoHostsOptions {
  /** More of each server's configuration. */
  readonly config?: (host: number) => Omit<ServerConfigInput, 'regions' | 'hosts'>;
  readonly region?: Partial<ServerConfigInput['regions'][number]>;
}

let count = 0;

/** `folder`: for certificates and what hosts keep; emptied by the caller. */
export async function twoHosts(
  folder: string,
  { config = () => ({}), region = {} }: TwoHostsOptions = {},
): Promise<TwoHosts> {
  const authority = new Authority(folder);
  const names = ['a', 'b'];
  const ports = await freePorts(names.length);
  const at = (host: number): string => `127.0.0.1:${ports[host]}`;
  const sockets = names.map((name) => `@ivshmem-two-hosts-${process.pid}-${++count}-${name}`);
  const servers: IvshmemServer[] = [];
  const members: Region[] = [];
  const close = async (): Promise<void> => {
    for (const member of members) await member.close().catch(() => {});
    for (const server of servers) await server.close();
  };
  try {
    for (const [host, name] of names.entries()) {
      const server = await createServer({
        ...config(host),
        regions: [{ name: 'r', size: '16M', slots: 8, ...region, socket: sockets[host]! }],
        hosts: {
          ...{ name, listen: at(host), peers: { [names[1 - host]!]: at(1 - host) } },
          ...authority.issue(name),
          state: join(folder, `${name}.json`),
          // Long: nobody's lease is to end because this machine is busy.
          lease: 30,
        },
      });
      servers.push(server);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    servers,
    sockets,
    async member(host, name) {
      const member = await open({ socket: sockets[host]!, name, addresses: [] });
      members.push(member);
      return member;
    },
    close,
  };
}

/** Resolves when members of all these regions can open spaces: hosts take as long to find each other as the machine lets them. */
export async function found(...regions: readonly Region[]): Promise<void> {
  for (const region of regions)
    await until(
      'the hosts have found each other',
      () =>
        openSpace(region, 'first', { size: 4096, spread: true }).then(
          () => true,
          (error: Error) => {
            if (!isIvshmemError(error, 'ERR_IVSHMEM_REFUSED')) throw error;
            return false;
          },
        ),
      60,
    );
}

async function freePorts(n: number): Promise<number[]> {
  const servers = Array.from({ length: n }, () => createTcpServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  const closed = servers.map((server) => once(server, 'close'));
  for (const server of servers) server.close();
  await Promise.all(closed);
  return ports;
}
