import { once } from 'node:events';
import http2 from 'node:http2';
import { all, authority, bytes, type Program, serverIdentity, sum, type Use } from '../program.ts';

function answer(request: http2.Http2ServerRequest, response: http2.Http2ServerResponse): void {
  void all(request).then((body) => {
    response.writeHead(200, { 'x-length': String(body.length) });
    response.end(`${sum(body)} ${request.httpVersion} ${request.socket.remoteAddress}`);
  });
}

async function talkOver(session: http2.ClientHttp2Session, { saw, moved }: Use): Promise<void> {
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
  await moved(session.socket as never);
  for (let n = 1; n < 8; n++) await ask(n);
  const rtt = new Promise<unknown>((resolve) =>
    session.ping((error, _ms, payload) => resolve(error ?? payload.length)),
  );
  saw(await rtt);
  session.close();
  await once(session, 'close');
}

export const cleartext: Program = {
  server: () => http2.createServer(answer),
  async use(use) {
    await talkOver(http2.connect(`http://127.0.0.1:${use.port}`), use);
    const nobody = http2.connect('http://127.0.0.1:1');
    await once(nobody, 'error').then(([error]) => use.saw((error as NodeJS.ErrnoException).code));
  },
};

export const secure: Program = {
  server: () => http2.createSecureServer({ ...serverIdentity, allowHTTP1: true }, answer),
  async use(use) {
    await talkOver(http2.connect(`https://127.0.0.1:${use.port}`, authority), use);
  },
};
