import { once } from 'node:events';
import net from 'node:net';
import { all, bytes, type Program, sum, type Use } from '../program.ts';

const echo = (): net.Server =>
  net.createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket));

async function twice({ port, saw, moved }: Use, host: string): Promise<void> {
  // One socket for two connections, one after the other.
  const socket = new net.Socket({ allowHalfOpen: true });
  for (let i = 1; i <= 2; i++) {
    socket.connect({ port, host, family: net.isIPv6(host) ? 6 : 4 });
    await once(socket, 'connect');
    saw(socket.remoteAddress, socket.remoteFamily, socket.localFamily, socket.pending, socket.readyState);
    await moved(socket);
    saw((socket.address() as net.AddressInfo).family, socket.remotePort === port);
    const got: Buffer[] = [];
    const collect = (data: Buffer): unknown => got.push(data);
    socket.on('data', collect);
    socket.end(bytes(200_000, i));
    await once(socket, 'close');
    socket.removeListener('data', collect);
    saw(sum(Buffer.concat(got)), socket.bytesRead, socket.bytesWritten);
  }
}

export const ipv4: Program = { server: echo, moves: 2, use: (use) => twice(use, '127.0.0.1') };
export const ipv6: Program = { server: echo, host: '::1', moves: 2, use: (use) => twice(use, '::1') };
/** A listener at every address sees IPv4 as IPv6. */
export const mapped: Program = {
  server: () =>
    net.createServer((socket) => void socket.end(`${socket.remoteAddress} ${socket.remoteFamily}`)),
  host: '::',
  moves: 0,
  async use({ port, saw }) {
    for (const host of ['127.0.0.1', '::1', 'localhost', '::ffff:127.0.0.1'])
      saw(host, `${await all(net.connect(port, host))}`);
  },
};
export const dualEcho: Program = {
  server: echo,
  host: '::',
  moves: 2,
  use: (use) => twice(use, '127.0.0.1'),
};
export const mappedEcho: Program = {
  server: echo,
  host: '::',
  moves: 2,
  use: (use) => twice(use, '::ffff:127.0.0.1'),
};

export const onread: Program = {
  server: echo,
  moves: 0,
  async use({ port, saw }) {
    const buffer = Buffer.alloc(1000);
    let got = '';
    const callback = (length: number): boolean => {
      got += buffer.subarray(0, length);
      return true;
    };
    const socket = net.connect({ port, host: '127.0.0.1', onread: { buffer, callback } });
    socket.end('into my own buffer');
    await once(socket, 'close');
    saw(got);
  },
};

/** One socket that is connected again and again, until somebody listens. */
export const patient: Program = {
  server: echo,
  async use({ port, saw, moved }) {
    const nobody = net.createServer().listen(0, '127.0.0.1');
    await once(nobody, 'listening');
    const { port: refused } = nobody.address() as net.AddressInfo;
    nobody.close();
    const socket = new net.Socket();
    const codes = new Set<string | undefined>();
    socket.on('error', ({ code }: NodeJS.ErrnoException) => codes.add(code));
    for (let i = 0; i < 15; i++) {
      socket.connect(refused, '127.0.0.1');
      await new Promise((resolve) => socket.once('close', resolve));
    }
    saw(...codes, socket.listenerCount('connect') <= 1);
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    await moved(socket);
    socket.end('at last');
    saw(`${await all(socket)}`);
  },
};
