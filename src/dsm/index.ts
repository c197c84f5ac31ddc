/** Memory that several members share as if it were their own (docs/dsm.md). */
export { type OpenSpaceOptions, openSpace, removeSpace, type SpaceInfo, spaces } from './open.ts';
export type { Space } from './space.ts';
