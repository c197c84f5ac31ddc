import { createServer, type IvshmemServer, type ServerConfigInput } from '../../src/host/index.ts';
import { type Channel, type OpenOptions, open, type Region } from '../../src/index.ts';

/** A server with one region on an abstract socket of its own. */
export interface Served {
  readonly server: IvshmemServer;
  readonly socket: string;
  /** A member in this process. */
  join(name: string, options?: Omit<OpenOptions, 'socket' | 'name'>): Promise<Region>;
  close(): Promise<void>;
}

let count = 0;

/** `region`: more of the region's configuration; `config`: of the server's. */
export async function serveRegion(
  name: string,
  region: Partial<ServerConfigInput['regions'][number]> = {},
  config: Omit<ServerConfigInput, 'regions'> = {},
): Promise<Served> {
  const { socket = `@ivshmem-${name}-${process.pid}-${++count}` } = region;
  const server = await createServer({
    ...config,
    regions: [{ name, size: '16M', slots: 16, ...region, socket }],
  });
  const members: Region[] = [];
  return {
    server,
    socket,
    join: async (member, options = {}) => {
      const joined = await open({ addresses: [], ...options, socket, name: member });
      members.push(joined);
      return joined;
    },
    close: async () => {
      // Each waits for its answer, of a server that a test has ended for ten seconds.
      await Promise.allSettled(members.map((member) => member.close()));
      await server.close();
    },
  };
}

/** A channel between two members, ready for traffic. */
export async function connected(
  listening: Region,
  connecting: Region,
  service: string,
): Promise<{ connector: Channel; listener: Channel }> {
  const listener = await listening.listen(service);
  const accepted = (async () => {
    for await (const channel of listener) return channel;
    throw new Error('the listener ended');
  })();
  const connector = await connecting.connect(service, { peer: listening.name });
  return { connector, listener: await accepted };
}
