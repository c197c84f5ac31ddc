import { once } from 'node:events';
import http from 'node:http';
import type net from 'node:net';
import { Readable } from 'node:stream';
import express from 'express';
import { WebSocket, WebSocketServer } from 'ws';
import { all, bytes, type Program, sum } from '../program.ts';

/** Binary frames of all sizes, compressed. */
export const webSocket: Program = {
  server() {
    const server = http.createServer();
    const sockets = new WebSocketServer({ server, perMessageDeflate: { threshold: 100 } });
    sockets.on('connection', (socket) => {
      socket.on('message', (data, binary) => socket.send(data, { binary }));
    });
    return server;
  },
  async use({ port, saw, moved }) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: { threshold: 100 } });
    await once(socket, 'open');
    saw(socket.extensions);
    const { _socket } = socket as unknown as { _socket: net.Socket };
    for (const length of [1, 100, 5000, 65_536, 1_000_000]) {
      socket.send(bytes(length, length));
      socket.send('x'.repeat(length));
      const [data, binary] = (await once(socket, 'message')) as [Buffer, boolean];
      const [text] = (await once(socket, 'message')) as [Buffer];
      saw(binary, data.length, sum(data), text.length);
      await moved(_socket);
    }
    socket.close(4001, 'enough');
    const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
    saw(code, `${reason}`);
  },
};

export const expressApp: Program = {
  server() {
    const app = express();
    app.set('env', 'test');
    app.use(express.json({ limit: '1mb' }));
    app.get(
      '/hello/:name',
      (request, response) => void response.json({ hello: request.params.name, ip: request.ip }),
    );
    app.post('/sum', (request, response) => void response.json({ sum: sum(JSON.stringify(request.body)) }));
    app.get('/stream', (_request, response) => {
      Readable.from(
        (function* () {
          for (let i = 0; i < 50; i++) yield bytes(10_000, i);
        })(),
      ).pipe(response);
    });
    return http.createServer(app);
  },
  async use({ port, saw, moved }) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ask = async (method: string, path: string, body?: string): Promise<net.Socket> => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const request = http.request({ port, host: '127.0.0.1', agent, method, path, headers }).end(body);
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      const { etag, 'content-type': type } = response.headers;
      const { socket } = response;
      saw(response.statusCode, type, etag, sum(await all(response)));
      return socket;
    };
    for (let i = 0; i < 5; i++) {
      const socket = await ask('GET', `/hello/${i}`);
      await moved(socket);
      await ask('POST', '/sum', JSON.stringify({ list: [...bytes(1000 * i)] }));
      await ask('GET', '/stream');
      await ask('POST', '/sum', '{"broken":');
      await ask('GET', '/nothing');
    }
    agent.destroy();
  },
};
