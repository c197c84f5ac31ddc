import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { carriesHttp2 } from '../../../../src/transparent/js-stream.ts';
import { all, authority, bytes, type Program, serverIdentity, sum, type Use } from '../program.ts';

function answer(request: http2.Http2ServerRequest, response: http2.Http2ServerResponse): void {
  void all(request).then((body) => {
    response.writeHead(200, { 'x-length': String(body.length) });
    response.end(`${sum(body)} ${request.httpVersion} ${request.socket.remoteAddress}`);
  });
}

async function talkOver(
  session: http2.ClientHttp2Session,
  { saw, moved }: Use,
  moves = carriesHttp2,
): Promise<void> {
  session.on('close', () => saw('session closed'));
  saw(session.connecting);
  await once(session, 'connect');
  saw(session.encrypted, session.alpnProtocol, session.socket.remoteAddress, session.connecting);
  const ask = async (n: number): Promise<void> => {
    const stream = session.request({ ':method': 'POST', ':path': `/${n}` });
    stream.end(bytes(n * 40_000, n));
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    saw(n, headers['x-length'], `${await all(stream)}`);
  };
  await ask(0);
  if (moves) await moved(session.socket as never);
  for (let n = 1; n < 8; n++) await ask(n);
  const rtt = new Promise<unknown>((resolve) =>
    session.ping((error, _ms, payload) => resolve(error ?? payload.length)),
  );
  saw(await rtt);
  session.close();
  await once(session, 'close');
}

export const cleartext: Program = {
  moves: carriesHttp2 ? 1 : 0,
  server: () => http2.createServer(answer),
  async use(use) {
    await talkOver(http2.connect(`http://127.0.0.1:${use.port}`), use);
    const nobody = http2.connect('http://127.0.0.1:1');
    await once(nobody, 'error').then(([error]) => use.saw((error as NodeJS.ErrnoException).code));
  },
};

/** As gRPC has it: the session reads the handle of a socket that the program made, and stays on TCP. */
export const ownSocket: Program = {
  moves: 0,
  server: () => http2.createServer(answer),
  async use(use) {
    const createConnection = () => net.connect(use.port, '127.0.0.1');
    await talkOver(http2.connect(`http://127.0.0.1:${use.port}`, { createConnection }), use, false);
  },
};

export const secure: Program = {
  moves: carriesHttp2 ? 1 : 0,
  server: () => http2.createSecureServer({ ...serverIdentity, allowHTTP1: true }, answer),
  async use(use) {
    await talkOver(http2.connect(`https://127.0.0.1:${use.port}`, authority), use);
  },
};
