/** Sockets of node:net whose bytes go through shared memory where the peer is in the same region. docs/net.md tells how. */
export { BlockList, isIP, isIPv4, isIPv6, SocketAddress } from 'node:net';
export { type ConnectOptions, connect, connect as createConnection } from './connect.ts';
export { counters, type NetCounters, type PathMessage } from './counters.ts';
export { type FollowEvents, Following, type FollowOptions, followRegion } from './follow.ts';
export type { ParticipantOptions } from './participant.ts';
export type { Reason } from './reasons.ts';
export { setRegion } from './regions.ts';
export { createServer, Server, type ServerOptions } from './server.ts';
export { Socket, type SocketOptions } from './socket.ts';
