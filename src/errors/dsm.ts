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
  ERR_IVSHMEM_SPACE_FORBIDDEN: {
    attempted: '{operation} in the region {on}',
    why: 'the server does not let this member do that with the space',
    remedy:
      'Ask whoever runs the server: `[[regions.spaces]]` in its configuration says who may open, make and remove which spaces, and on which hosts (docs/hosts.md).',
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
      "`size` is a whole number of bytes from 1 to 2^32, needed where the space is to be made; `create` is 'if-missing', 'always' or 'never'; `pageSize`, of a spread space only, is a power of two from 4096 to 2 MiB, and `consistency`, likewise, is 'sequential' or 'release'; `replicas`, with release consistency only, is 1 to 64.",
    kind: 'usage',
  },
  ERR_IVSHMEM_SPREAD_DIFFERS: {
    attempted: '{operation} in the region {on}',
    why: 'the space is there, and {found}',
    remedy:
      'Open it with the `spread`, `consistency`, `replicas` and `pageSize` that it was made with (leave `pageSize` out to take it as it is). Only a spread space can be taken from members by force.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SPREAD_VECTORS: {
    attempted: '{operation} in the region {on}',
    why: 'the region has {vectors} interrupt vectors a member, and spread spaces need one of their own',
    remedy: 'Serve the region with `vectors` of 2 or more.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SPREAD_PAGES: {
    attempted: '{operation}',
    why: 'its {pages} pages of {pageBytes} bytes, with {open} of other spaces, may become more mappings than {limit}, half of what the kernel allows a process',
    remedy: 'Make the space with a larger `pageSize`, or raise vm.max_map_count (sysctl).',
    kind: 'failure',
  },
  ERR_IVSHMEM_SPREAD_RANGE: {
    attempted: '{operation}',
    why: '{why}',
    remedy:
      "Give an offset and a length in bytes inside the space, and 'read' or 'write' to acquire(), 'will-read', 'will-write' or 'dont-need' to hint(). Acquire large parts piece by piece.",
    kind: 'usage',
  },
  ERR_IVSHMEM_SPREAD_SYNC: {
    attempted: 'use a {kind} of the space {name}',
    why: 'the space is spread over hosts, and was opened without what synchronizes its members',
    remedy: 'Open it with `locks: true`.',
    kind: 'usage',
  },
  ERR_IVSHMEM_SPREAD_SEATS: {
    attempted: 'take part in the synchronization of a spread space',
    why: '{most} members have it open, as far as is known',
    remedy: 'Some may have died; that is looked into now. Try again in a second, or use several spaces.',
    kind: 'failure',
  },
  ERR_IVSHMEM_PAGES_LOST: {
    attempted: '{operation} in the region {on}',
    why: 'the only copy of {page} was on a host that is gone',
    remedy: 'Make the data anew in another space, or from where it came. A lost page stays lost.',
    kind: 'failure',
  },
  ERR_IVSHMEM_PAGES_FENCED: {
    attempted: '{operation} in the region {on}',
    why: 'this host lost touch with the others and must not use the pages any more',
    remedy:
      'Check the network between the hosts and their directory. Open the space again when this host has joined them again.',
    kind: 'failure',
  },
  ERR_IVSHMEM_PAGES_REVOKED: {
    attempted: '{operation} in the region {on}',
    why: 'the space was removed while it was open here',
    remedy: 'Close it. Opening that name makes another space.',
    kind: 'failure',
  },
  ERR_IVSHMEM_PAGES_SILENT: {
    attempted: '{operation} in the region {on}',
    why: 'the pages did not come in time',
    remedy:
      'Check that `ivshmem server` runs on this host and reaches the others, and that others do not hold the pages for long.',
    kind: 'failure',
  },
  ERR_IVSHMEM_PAGES_BROKEN: {
    attempted: '{operation} in the region {on}',
    why: '{why}',
    remedy:
      'Close the space and open it again. If that does not help, some member wrote over the memory that it shares with the server.',
    kind: 'failure',
  },
} as const satisfies Record<string, Entry>;
