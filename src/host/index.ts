export { type PassedDescriptors, passedDescriptors } from './activation.ts';
export { parseConfig, readConfig } from './config.ts';
export { type Keeper, keeperOf } from './keeper.ts';
export type { Log } from './log.ts';
export type { RegionConfig, ServerConfig, ServerConfigInput } from './schema.ts';
export { createServer, type IvshmemServer, type ServerOptions } from './server.ts';
export type { MemberStatus, RegionStatus, ServerStatus } from './status.ts';
export { Supervisor, type SupervisorOptions } from './supervisor.ts';
export { receiveWord } from './word.ts';
