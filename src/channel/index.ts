export { Channel, type ChannelEnd } from './channel.ts';
export { Listener } from './listener.ts';
export { type DataArea, Message, ReceivedBurst, Reservation, ReservedBurst } from './message.ts';
export { type ConnectOptions, Region, type RegionDevice, type RegionOptions } from './region.ts';
export { adaptive, interrupt, loop, type WaitStrategy } from './wait.ts';
