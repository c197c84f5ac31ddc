export { DOORBELL, INTR_MASK, INTR_STATUS, IV_POSITION } from '../backend/registers.ts';
export { IvshmemDevice } from './device.ts';
export type { InterruptCallback } from './interrupts.ts';
export { type OpenDeviceOptions, openDevice } from './open.ts';
