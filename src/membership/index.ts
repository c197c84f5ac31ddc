export { Attachment, type AttachmentOptions, type Marks } from './attachment.ts';
export type { Life, RegionDevice } from './device.ts';
export { adaptive, interrupt, loop, type WaitStrategy } from './wait.ts';
