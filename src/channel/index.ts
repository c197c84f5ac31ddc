export { Channel, type ChannelTraffic } from './channel.ts';
export type { ChannelEnd } from './channel-end.ts';
export { Listener } from './listener.ts';
export { type DataArea, Message, ReceivedBurst, Reservation, ReservedBurst } from './message.ts';
export { type OpenOptions, open } from './open.ts';
export { type CloseOptions, type ConnectOptions, Region, type RegionOptions } from './region.ts';
