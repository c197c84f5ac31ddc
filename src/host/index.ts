export { parseConfig, readConfig } from './config/config.ts';
export type { RegionConfig, ServerConfig, ServerConfigInput } from './config/schema.ts';
export type { MemberStatus, RegionStatus, ServerStatus } from './control/status.ts';
export type { Log } from './log.ts';
export { type PassedDescriptors, passedDescriptors } from './restart/activation.ts';
export { type Keeper, keeperOf } from './restart/keeper.ts';
export { Supervisor, type SupervisorOptions } from './restart/supervisor.ts';
export { receiveWord } from './restart/word.ts';
export { createServer, type IvshmemServer, type ServerOptions } from './server.ts';
