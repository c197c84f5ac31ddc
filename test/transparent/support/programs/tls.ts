import { once } from 'node:events';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { all, authority, bytes, clientIdentity, type Program, serverIdentity, sum } from '../program.ts';

const options = { ...serverIdentity, ...authority };
const there = { host: '127.0.0.1', ...authority };

function agreed(socket: tls.TLSSocket): unknown[] {
  const { authorized, authorizationError, encrypted, remoteAddress, remoteFamily, alpnProtocol } = socket;
  const { subject } = socket.getPeerCertificate();
  return [authorized, `${authorizationError}`, encrypted, remoteAddress, remoteFamily, alpnProtocol, subject];
}

export const secureHttp: Program = {
  server: () =>
    https.createServer(options, (request, response) => {
      void all(request).then((body) => response.end(`${body.length} ${sum(body)}`));
    }),
  async use({ port, saw, moved }) {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ...authority });
    for (let i = 0; i < 5; i++) {
      const request = https.request({ port, host: '127.0.0.1', agent, method: 'POST' });
      request.end(bytes(i * 200_000, i));
      const [response] = (await once(request, 'response')) as [{ socket: tls.TLSSocket } & net.Socket];
      const { socket } = response;
      saw(`${await all(response)}`, request.reusedSocket, agreed(socket));
      await moved(socket);
    }
    agent.destroy();
    const refused = https.get({ port, host: '127.0.0.1' });
    await once(refused, 'error').then(([error]) => saw((error as NodeJS.ErrnoException).code));
  },
};

export const mutual: Program = {
  server: () =>
    tls.createServer({ ...options, requestCert: true, rejectUnauthorized: true }, (socket) => {
      socket.on('error', () => {});
      socket.write(
        `${socket.authorized} ${socket.getPeerCertificate().subject.CN} ${socket.remoteAddress}\n`,
      );
      socket.pipe(socket);
    }),
  async use({ port, saw, moved }) {
    const socket = tls.connect({ port, ...there, ...clientIdentity });
    await once(socket, 'secureConnect');
    saw(agreed(socket), socket.getProtocol(), socket.readyState, socket.remotePort === port);
    await moved(socket);
    const answer = all(socket);
    socket.setNoDelay(true).setKeepAlive(true, 1000).write('a');
    socket.end(bytes(500_000));
    saw(sum(await answer));
    if (!socket.closed) await once(socket, 'close');
    saw(socket.destroyed, socket.bytesWritten, socket.bytesRead > 500_000);
    // Without a certificate of its own.
    const stranger = tls.connect({ port, ...there });
    stranger.on('data', (data) => saw(`${data}`));
    const [error] = (await once(stranger, 'error')) as [NodeJS.ErrnoException];
    saw(error.code);
    // A connection that was there before, and spoke something else: not here, but it looks the same.
    const before = net.connect(port, '127.0.0.1');
    await once(before, 'connect');
    const upgraded = tls.connect({ socket: before, ...authority, ...clientIdentity, host: '127.0.0.1' });
    await once(upgraded, 'secureConnect');
    saw(agreed(upgraded));
    upgraded.end('x');
    saw(`${await all(upgraded)}`);
  },
};

export const tlsEndings: Program = {
  server: () =>
    tls.createServer(options, (socket) => {
      socket.on('error', () => {});
      socket.on('data', (data) => {
        if (`${data}` === 'destroy') socket.destroy();
        else socket.end(`bye ${data}`);
      });
    }),
  moves: 2,
  async use({ port, saw, moved }) {
    for (const word of ['destroy', 'end']) {
      const socket = tls.connect({ port, ...there });
      for (const event of ['connect', 'ready', 'secureConnect', 'end', 'close'])
        socket.on(event, (...values: unknown[]) => saw(word, event, ...values));
      await once(socket, 'secureConnect');
      await moved(socket);
      socket.on('data', (data) => saw(`${data}`));
      socket.write(word);
      await once(socket, 'close');
    }
    const closed = net.createServer();
    closed.listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port: nobody } = closed.address() as net.AddressInfo;
    closed.close();
    await once(closed, 'close');
    const refused = tls.connect({ port: nobody, ...there });
    refused.on('close', (had) => saw('close', had));
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException & { address: string }];
    saw(error.code, error.syscall, error.address);
    const over = new AbortController();
    const aborted = tls.connect({ port, ...there, signal: over.signal } as tls.ConnectionOptions);
    aborted.on('close', (had) => saw('close', had));
    over.abort();
    await once(aborted, 'error').then(([error]) => saw((error as Error).name));
    const impatient = tls.connect({ port, ...there, timeout: 50 });
    await once(impatient, 'timeout');
    impatient.destroy();
  },
};
