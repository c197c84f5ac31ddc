import type { Entry } from './define.ts';

/** Spaces: memory of a region that members open by name (docs/dsm.md). */
export const dsmErrors = {
  ERR_IVSHMEM_SPACES_ABSENT: {
    attempted: '{operation} in the region {on}',
    why: 'the region has no spaces: its layout is of version {version}',
    remedy:
      'Serve the region with a version of `ivshmem server` that writes layout 1.2 or later. A region that was made by an earlier one stays as it is until it is made anew.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SPACE_MISSING: {
    attempted: '{operation} in the region {on}',
    why: 'there is no space of that name',
    remedy: 'Open it with a `size` first, which makes it. `spaces(region)` lists what there is.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SPACE_EXISTS: {
    attempted: '{operation} in the region {on}',
    why: 'there is a space of that name already',
    remedy: "Open it without `create: 'always'`, or choose another name.",
    kind: 'failure',
  },
  ERR_IVSHMEM_SPACE_SIZE: {
    attempted: '{operation} in the region {on}',
    why: 'the space is there, and smaller than the size asked for',
    remedy:
      'Leave the size out to take the space as it is, or have all members let go of it and make it anew.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SPACE_TABLE: {
    attempted: '{operation} in the region {on}',
    why: 'the entry of the space in the shared table makes no sense',
    remedy: 'Some member wrote over the table; find that member and keep it out of this region.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SPACE_MAP: {
    attempted: '{operation} in the region {on}',
    why: 'its memory cannot be mapped: {why}',
    remedy: 'Check the limits of this process on memory and descriptors, and that the device is still there.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SPACE_OPTIONS: {
    attempted: 'open a space',
    why: '{why}',
    remedy:
      "`size` is a whole number of bytes from 1 to 2^32, needed where the space is to be made; `create` is 'if-missing', 'always' or 'never'.",
    kind: 'usage',
  },
} as const satisfies Record<string, Entry>;
