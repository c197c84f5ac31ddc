import type net from 'node:net';

/** Where to listen or connect: HOST:PORT, the host an address or a name, or the absolute path of a UNIX socket. */
export function targetOf(at: string): net.NetConnectOpts & net.ListenOptions {
  // An IPv6 address has colons of its own.
  const [, host, port] = /^([^/].*):(\d+)$/.exec(at) ?? [];
  return host === undefined ? { path: at } : { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) };
}
