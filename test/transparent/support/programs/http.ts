import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { all, bytes, type Program, sum, type Use } from '../program.ts';

interface Answer {
  readonly response: http.IncomingMessage;
  readonly body: Buffer;
  readonly request: http.ClientRequest;
  readonly socket: net.Socket;
}

async function ask(options: http.RequestOptions, body?: Buffer | string): Promise<Answer> {
  const request = http.request({ host: '127.0.0.1', ...options });
  const answered = once(request, 'response') as Promise<[http.IncomingMessage]>;
  request.end(body);
  const [response] = await answered;
  // Which is none any more once the answer is complete.
  const { socket } = response;
  return { response, socket, body: await all(response), request };
}

/** Answers with what it is asked for, in the ways that HTTP/1.1 has. */
function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  const url = new URL(request.url!, 'http://x');
  const size = Number(url.searchParams.get('size') ?? 0);
  if (url.pathname === '/sum')
    void all(request).then((body) =>
      response.end(`${body.length} ${sum(body)} ${request.socket.remoteAddress}`),
    );
  else if (url.pathname === '/sized') response.setHeader('content-length', size).end(bytes(size));
  else if (url.pathname === '/chunked') {
    response.setHeader('trailer', 'x-sum');
    for (let at = 0; at < size; at += 10_000) response.write(bytes(Math.min(10_000, size - at), at));
    response.addTrailers({ 'x-sum': 'there' });
    response.end();
  } else if (url.pathname === '/never') response.write('begun');
  else if (url.pathname === '/cut') {
    response.setHeader('content-length', 1000);
    response.write('only this', () => request.socket.destroy());
  } else response.writeHead(404).end('nothing here');
}

function server(): http.Server {
  const server = http.createServer(answer);
  server.on('upgrade', (_request, socket: net.Socket, head: Buffer) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n');
    socket.write(head);
    socket.pipe(socket);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    socket.end(`HTTP/1.1 400 ${error.code}\r\n\r\n`);
  });
  return server;
}

export const keepAlive: Program = {
  server,
  async use({ port, saw, moved }) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 6; i++) {
      const body = bytes(i * 50_000, i);
      const answer = await ask({ port, agent, method: 'POST', path: '/sum' }, body);
      const { socket } = answer;
      saw(answer.response.statusCode, `${answer.body}` === `${body.length} ${sum(body)} 127.0.0.1`);
      saw(answer.request.reusedSocket, { ...answer.response.headers, date: '' });
      await moved(socket);
      const { body: got, response } = await ask({ port, agent, path: `/chunked?size=${i * 70_000}` });
      saw(got.length, sum(got), response.trailers, response.httpVersion);
      const head = await ask({ port, agent, method: 'HEAD', path: '/sized?size=100' });
      saw(head.body.length, head.response.headers['content-length']);
    }
    const sockets = Object.values(agent.freeSockets).flat() as net.Socket[];
    saw(sockets.length, sockets[0]?.remotePort === port, sockets[0]?.remoteFamily);
    const read = sockets[0]?.bytesRead ?? 0;
    saw(read > 1_000_000);
    agent.destroy();
  },
};

/** A connection that the program speaks HTTP on by itself. */
async function raw({ port, moved }: Use): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await once(socket, 'connect');
  await moved(socket);
  return socket;
}

/** Reads until `last` has come: a server of HTTP that hears the end says no more. */
async function readUntil(socket: net.Socket, last: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of socket) {
    parts.push(part as Buffer);
    if (Buffer.concat(parts).indexOf(last) >= 0) break;
  }
  return Buffer.concat(parts);
}

const withoutDate = (text: Buffer): string => `${text}`.replace(/date: .*\r\n/gi, '');

export const byHand: Program = {
  server,
  moves: 4,
  async use(use) {
    const { saw } = use;
    const pipelined = await raw(use);
    const line = (n: number) => `GET /sized?size=${n} HTTP/1.1\r\nhost: x\r\n\r\n`;
    pipelined.write(line(1) + line(20_000) + line(3).slice(0, 9));
    await delay(10);
    pipelined.write(`${line(3).slice(9)}${line(400_000)}GET /last HTTP/1.1\r\nhost: x\r\n\r\n`);
    saw(sum(withoutDate(await readUntil(pipelined, 'nothing here'))));

    const wrong = await raw(use);
    wrong.write('what is this?\r\n\r\n');
    saw(`${await all(wrong)}`);
    wrong.destroy();

    const upgraded = await raw(use);
    upgraded.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nfirst ');
    upgraded.write('second');
    upgraded.end(bytes(300_000));
    saw(sum(await all(upgraded)));

    const expecting = await raw(use);
    const { length } = bytes(1000);
    expecting.write(
      `POST /sum HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: ${length}\r\n\r\n`,
    );
    saw(`${(await once(expecting, 'data'))[0]}`);
    expecting.write(bytes(1000));
    saw(withoutDate(await readUntil(expecting, '127.0.0.1')));
  },
};

export const endings: Program = {
  server,
  async use({ port, saw, moved }) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const { socket } = await ask({ port, agent, path: '/sized?size=1' });
    await moved(socket);
    const cut = http.get({ port, host: '127.0.0.1', agent, path: '/cut' });
    const [half] = (await once(cut, 'response')) as [http.IncomingMessage];
    await all(half).catch((error: NodeJS.ErrnoException) => saw(error.code, error.message));
    saw(half.complete, half.destroyed);
    const over = new AbortController();
    const aborted = http.get({ port, host: '127.0.0.1', agent, path: '/never', signal: over.signal });
    const [begun] = (await once(aborted, 'response')) as [http.IncomingMessage];
    await once(begun, 'data');
    await moved(begun.socket);
    over.abort();
    await once(begun, 'error').then(([error]) => saw((error as NodeJS.ErrnoException).code));
    const late = http.get({ port, host: '127.0.0.1', path: '/never', timeout: 100 });
    await once(late, 'timeout');
    late.destroy(new Error('too late'));
    await once(late, 'error').then(([error]) => saw((error as Error).message));
    const { response: closing } = await ask({
      port,
      path: '/sized?size=1',
      headers: { connection: 'close' },
    });
    saw(closing.headers.connection);
    agent.destroy();
  },
};

export const fetched: Program = {
  server,
  async use({ port, saw, moved }) {
    // What fetch connects with is not to be had; a connection to the same place goes the same way.
    for (let i = 0; i < 5; i++) {
      const url = `http://localhost:${port}/`;
      const body = bytes(i * 30_000, i);
      const posted = await fetch(`${url}sum`, { method: 'POST', body: new Uint8Array(body) });
      saw(posted.status, await posted.text());
      const chunked = await fetch(`${url}chunked?size=${i * 90_000}`);
      saw(sum(Buffer.from(await chunked.arrayBuffer())));
      if (i === 0) {
        const beside = net.connect(port, '127.0.0.1');
        await moved(beside);
        beside.destroy();
      }
    }
  },
};
