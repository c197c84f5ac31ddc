/** An IP interface over shared memory (docs/tun.md). */
export type { PacketCounters } from '../native/binding.ts';
export type { TunPeer } from './peers.ts';
export { Tun, type TunEvents, type TunOptions } from './tun.ts';
