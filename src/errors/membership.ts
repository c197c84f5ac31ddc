import type { Entry } from './define.ts';

/** Who is here, as a member sees it (docs/shared-memory.md, "Membership"). */
export const membershipErrors = {
  ERR_IVSHMEM_MEMBERSHIP_ABSENT: {
    attempted: '{operation} in the region {on}',
    why: 'its layout has no membership part (version {version})',
    remedy: 'Serve the region with a version of `ivshmem server` that writes layout 1.1 or later.',
    kind: 'failure',
  },
  ERR_IVSHMEM_MEMBERSHIP_DAMAGED: {
    attempted: 'read the membership of the region {on}',
    why: '{why}, and the server could not write it again',
    remedy:
      'Some member wrote over the table. Check that `ivshmem server` runs; find that member and keep it out of this region.',
    kind: 'failure',
  },
  ERR_IVSHMEM_MEMBERSHIP_DESCRIPTION: {
    attempted: 'describe this member',
    why: '{why}',
    remedy:
      'Addresses are 1 to 255 bytes of UTF-8 without control characters; labels too, as "key=value", with a key that is not empty and has no "="; all together at most {most} bytes.',
    kind: 'usage',
  },
  ERR_IVSHMEM_MEMBERSHIP_OPTIONS: {
    attempted: 'watch the membership of a region',
    why: 'suspectAfterMs is {found}',
    remedy: 'Give a whole number of milliseconds from {least} to {most}, or leave it out.',
    kind: 'usage',
  },
} as const satisfies Record<string, Entry>;
