/** Inter-VM communication at memory speed. docs/architecture.md has the picture. */
export * from './channel/index.ts';
export { type ErrorCode, IvshmemError, isIvshmemError } from './errors/index.ts';
export { IvshmemDevice, type OpenDeviceOptions, openDevice } from './ivshmem/index.ts';
export {
  adaptive,
  type Description,
  interrupt,
  type LeaveReason,
  type Life,
  loop,
  type Member,
  type MemberState,
  Membership,
  type MembershipEvent,
  type MembershipEvents,
  type MembershipOptions,
  type RegionDevice,
  type WaitStrategy,
} from './membership/index.ts';
