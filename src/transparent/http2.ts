import http2 from 'node:http2';
import net from 'node:net';
import { carriesHttp2, onStream } from './js-stream.ts';
import { mayMeet, replace } from './net.ts';
import type { OwnRegion } from './region.ts';

type Options = http2.ClientSessionOptions & net.NetConnectOpts;

/** Has a cleartext HTTP/2 session read a stream, not the TCP handle, where its peer may be in the region. Over TLS it reads TLS. */
export function patchHttp2(own: OwnRegion): void {
  if (!carriesHttp2) return;
  replace(http2, 'connect', (connect) => {
    return function (this: unknown, authority: unknown, ...values: unknown[]): unknown {
      const options = (typeof values[0] === 'object' && values[0] !== null ? values[0] : {}) as Options;
      const listener = values.find((each) => typeof each === 'function');
      const place = placeOf(authority, options);
      if (place === null || !mayMeet(own, place.host, place.port))
        return connect.call(this, authority, ...values);
      const createConnection = (): net.Socket => {
        const carrier = net.connect({ ...place, ...options } as net.NetConnectOpts);
        const stream = onStream(carrier);
        // The session begins when its socket says so.
        (stream as { connecting: boolean }).connecting = true;
        carrier.once('connect', () => {
          (stream as { connecting: boolean }).connecting = false;
          stream.emit('connect');
        });
        return stream;
      };
      return connect.call(this, authority, { ...options, createConnection }, listener);
    };
  });
}

/** Where node:http2 would connect to by itself without TLS; null: it would not, or it says itself what is wrong. */
function placeOf(authority: unknown, options: Options): { host: string; port: string } | null {
  if (typeof options.createConnection === 'function' || 'path' in options) return null;
  let url = authority as Partial<URL>;
  if (typeof authority === 'string') {
    if (!URL.canParse(authority)) return null;
    url = new URL(authority);
  }
  if (typeof url !== 'object' || url === null || (url.protocol || options.protocol) !== 'http:') return null;
  const host = url.hostname || url.host || 'localhost';
  return { host: host.startsWith('[') ? host.slice(1, -1) : host, port: url.port || '80' };
}
