import type net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';

type JsStream = new (stream: net.Socket) => net.Socket & { readonly _handle: object };

let found: JsStream | null = null;

/**
 * A socket whose handle is any stream: Node's own, which it uses itself where TLS or HTTP/2 shall speak over what is no TCP
 * handle. Its class has no public name; a TLS socket on a stream has one.
 */
export function onStream(socket: net.Socket): InstanceType<JsStream> {
  found ??= find();
  return new found(socket);
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
