import type net from 'node:net';

/** Where to listen or connect: HOST:PORT, or else the path of a UNIX socket. */
export function targetOf(at: string): net.NetConnectOpts & net.ListenOptions {
  const [, host, port] = /^([\d.]+):(\d+)$/.exec(at) ?? [];
  return host === undefined ? { path: at } : { host, port: Number(port) };
}
