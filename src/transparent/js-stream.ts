import type net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { readsSocket } from '../net/take-over.ts';

/** What is used of Node's class. */
interface Stream extends net.Socket {
  readonly _handle: Handle | null;
  doWrite(request: object, buffers: readonly Uint8Array[]): number;
  finishWrite(handle: object, error: number): void;
}
interface Handle {
  readBuffer(chunk: Uint8Array): void;
  emitEOF(): void;
}
type JsStream = new (stream: net.Socket) => Stream;

let found: JsStream | null = null;

/**
 * Whether HTTP/2 clients may read a stream. What a stream hands to a session is handed over within a turn of JavaScript, so that nobody
 * hears of a response before all that came with it is processed; from Node 23 on, a short one is over by then, and its body lost.
 */
export const carriesHttp2 = Number.parseInt(process.versions.node, 10) <= 22;

/** Whether a client of node:tls with these options may begin to speak HTTP/2, and must not do so over a stream. */
export function mustReadHandle(options: { readonly ALPNProtocols?: unknown } | undefined): boolean {
  if (carriesHttp2) return false;
  // As names, or as they are sent.
  const names = options?.ALPNProtocols;
  return Array.isArray(names) ? names.includes('h2') : Buffer.isBuffer(names) && names.includes('\x02h2');
}

/**
 * A socket whose handle is any stream: Node's own, which it uses itself where TLS or HTTP/2 shall speak over what is no TCP
 * handle. Its class has no public name; a TLS socket on a stream has one.
 */
export function onStream(socket: net.Socket): Stream {
  found ??= find();
  const stream = new found(socket);
  answerAfterWrite(stream, socket);
  readsSocket(socket);
  return stream;
}

/**
 * Node's class tells of a write that is done in a later turn of the loop; on TCP nobody has heard an answer by then. Here one may be there
 * already, and a program would see it before the end of what it answers: so it waits for that turn.
 */
function answerAfterWrite(stream: Stream, socket: net.Socket): void {
  const handle = stream._handle!;
  const { readBuffer, emitEOF } = handle;
  const { doWrite, finishWrite } = stream;
  let writing = false;
  let waiting = 0;
  stream.doWrite = (request, buffers) => {
    writing = true;
    return doWrite.call(stream, request, buffers);
  };
  stream.finishWrite = (of, error) => {
    writing = false;
    finishWrite.call(stream, of, error);
  };
  const inTurn = (act: () => void): void => {
    if (waiting === 0 && !(writing && socket.writableLength === 0)) {
      act();
      return;
    }
    waiting++;
    setImmediate(() => {
      waiting--;
      if (stream._handle === handle) act();
    });
  };
  handle.readBuffer = (chunk) => inTurn(() => readBuffer.call(handle, chunk));
  handle.emitEOF = () => inTurn(() => emitEOF.call(handle));
}

function find(): JsStream {
  const nothing = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  // Without authorities: reading Node's own takes tens of milliseconds.
  const probe = new tls.TLSSocket(nothing, { secureContext: tls.createSecureContext({ ca: [] }) });
  const { _handle } = probe as unknown as { _handle: { _parentWrap: object } };
  const Found = _handle._parentWrap.constructor;
  probe.on('error', () => {});
  probe.destroy();
  return Found as JsStream;
}
