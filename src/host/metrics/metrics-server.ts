import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { IvshmemError } from '../../errors/index.ts';
import type { Log } from '../log.ts';
import { Acceptor } from '../sockets/acceptor.ts';
import { listen } from '../sockets/listener.ts';
import type { ServerMetrics } from './metrics.ts';

const MAX_CONNECTIONS = 16;
/** One scrape, from its connection to its end. */
const SCRAPE_MS = 10_000;
/** Node looks for slow requests on a timer of its own; ours is per connection, so that an idle server sleeps. */
const NEVER_MS = 2 ** 31 - 1;
const AGAIN_EVERY_MS = 100;

/** Answers `GET /metrics` over TCP or a UNIX socket, one request per connection. */
export class MetricsServer {
  readonly #http: Server;
  readonly #sockets = new Set<Socket>();
  #acceptor: Acceptor | null = null;

  private constructor(metrics: ServerMetrics, log: Log) {
    this.#http = createServer(
      { connectionsCheckingInterval: NEVER_MS, requestTimeout: 0, headersTimeout: 0, keepAlive: false },
      (request, response) => void answer(metrics, log, request, response),
    );
    this.#http.on('connection', (socket) => this.#connected(socket));
  }

  /**
   * Listens on 'host:port' or a path. `patienceMs`: how long the address may still be another's, as when a server is replaced.
   * Throws ERR_IVSHMEM_SERVER_METRICS.
   */
  static async open(on: string, metrics: ServerMetrics, log: Log, patienceMs = 0): Promise<MetricsServer> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const server = new MetricsServer(metrics, log);
      try {
        await server.#listen(on, log);
        log.info({ metrics: on }, 'serving metrics');
        return server;
      } catch (cause) {
        server.close();
        if (Date.now() >= deadline) {
          const why = (cause as Error).message.replace(/\.\s.*$/s, '');
          throw new IvshmemError('ERR_IVSHMEM_SERVER_METRICS', { on, why }, { cause });
        }
      }
      await delay(AGAIN_EVERY_MS);
    }
  }

  /** Where it listens: the port that was given for port 0, too. */
  get port(): number {
    const address = this.#http.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Idempotent. */
  close(): void {
    this.#acceptor?.close();
    this.#http.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #listen(on: string, log: Log): Promise<void> {
    if (on.startsWith('/') || on.startsWith('@')) {
      this.#acceptor = new Acceptor(
        listen(on, 0o600, undefined),
        (fd) => void this.#http.emit('connection', new Socket({ fd, readable: true, writable: true })),
        (error) => log.error({ err: error }, 'cannot accept on the metrics socket'),
      );
      return;
    }
    const at = on.lastIndexOf(':');
    const host = on.slice(0, at).replace(/^\[(.*)\]$/, '$1');
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen({ host, port: Number(on.slice(at + 1)), exclusive: true }, resolve);
    });
    // Of a connection that could not be accepted: the next one may be.
    this.#http.on('error', (error) => log.error({ err: error }, 'cannot accept on the metrics address'));
  }

  #connected(socket: Socket): void {
    if (this.#sockets.size >= MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    const timer = setTimeout(() => socket.destroy(), SCRAPE_MS);
    timer.unref();
    socket.on('close', () => {
      clearTimeout(timer);
      this.#sockets.delete(socket);
    });
  }
}

async function answer(
  metrics: ServerMetrics,
  log: Log,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const reply = (status: number, body: string, headers: Record<string, string> = {}): void => {
    response.writeHead(status, {
      connection: 'close',
      'content-type': 'text/plain; charset=utf-8',
      ...headers,
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') reply(405, '', { allow: 'GET, HEAD' });
  else if (request.url?.split('?')[0] !== '/metrics') reply(404, 'The metrics are at /metrics.\n');
  else {
    try {
      reply(200, await metrics.text(), { 'content-type': metrics.contentType });
    } catch (error) {
      log.error({ err: error }, 'cannot make the metrics');
      reply(500, 'See the log of the server.\n');
    }
  }
}
