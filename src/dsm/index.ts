/** Memory that several members share as if it were their own (docs/dsm.md). */
export type { Heap, HeapStatistics } from './heap/heap.ts';
export {
  type OpenSpaceOptions,
  openSpace,
  type RemoveSpaceOptions,
  removeSpace,
  type SpaceInfo,
  spaces,
} from './open.ts';
export type { Space } from './space.ts';
export type { Pin } from './spread/pins.ts';
export type { SpreadSpace } from './spread/space.ts';
export {
  type Fields,
  type FieldType,
  type Place,
  type StructType,
  type StructView,
  struct,
} from './struct.ts';
export { type ArrayView, array, bytes, pointer, type Type, text } from './struct-types.ts';
export type { Barrier } from './sync/barrier.ts';
export type { BlockOptions, WaitOptions } from './sync/blocking.ts';
export type { Condition } from './sync/condition.ts';
export type { Counter } from './sync/counter.ts';
export type { Held } from './sync/held.ts';
export type { Mutex } from './sync/mutex.ts';
export type { Once } from './sync/once.ts';
export type { Permits } from './sync/permits.ts';
export type { RwLock } from './sync/rwlock.ts';
export type { Semaphore } from './sync/semaphore.ts';
export { type AttachOptions, attachSpace } from './threads/attach.ts';
export type { AttachedSpace } from './threads/attached-space.ts';
export type { SpaceShare } from './threads/share.ts';
