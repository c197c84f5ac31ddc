import { type ErrorCode, IvshmemError } from '../errors/index.ts';
import {
  STATUS_BAD_REQUEST,
  STATUS_EVICTED,
  STATUS_FORBIDDEN,
  STATUS_NAME_TAKEN,
  STATUS_NO_CHANNEL,
  STATUS_NO_HOSTS,
  STATUS_NO_MEMORY,
  STATUS_NO_SERVICE,
  STATUS_NO_SPACE,
  STATUS_NOT_ATTACHED,
  STATUS_QUOTA,
  STATUS_SPACE_DIFFERS,
  STATUS_SPACE_EXISTS,
  STATUS_VERSION,
} from '../memory/layout.ts';

/** What a status means and what to do, by its number. */
const reasons: Readonly<Record<number, readonly [why: string, hint: string]>> = {
  [STATUS_VERSION]: [
    'it speaks another major version of the layout',
    'Use the same major version of ivshmem on both sides.',
  ],
  [STATUS_NO_SERVICE]: [
    'nobody listens by that name',
    'Start the listener first, in a member of this same region.',
  ],
  [STATUS_NO_MEMORY]: [
    'the region has no memory left for it',
    'Close channels or spaces, ask for a smaller dataBytes or size, or give the region a larger size.',
  ],
  [STATUS_NO_HOSTS]: [
    'a space that spreads needs other hosts, and not enough of them are there or have room',
    'See `[hosts]` in the configuration of the server, its log, and docs/hosts.md.',
  ],
  [STATUS_NO_CHANNEL]: [
    'there is no such channel, or the channel table is full',
    'Close channels, or give the region more channels.',
  ],
  [STATUS_NAME_TAKEN]: ['that name is taken', 'Choose another name.'],
  [STATUS_BAD_REQUEST]: [
    'the request makes no sense to it',
    'Check the arguments against docs/shared-memory.md.',
  ],
  [STATUS_NOT_ATTACHED]: ['this member has not joined', 'Open the region again.'],
  [STATUS_QUOTA]: [
    "this member's quota is used up",
    "Close channels or spaces, or raise the region's quota in the server's configuration.",
  ],
  [STATUS_EVICTED]: [
    'this member was evicted',
    'Ask whoever runs the server; plug the device again, or start the VM or process anew, to get another slot.',
  ],
};

/** Refusals that a program may want to tell apart. */
const codes = {
  [STATUS_NO_SPACE]: 'ERR_IVSHMEM_SPACE_MISSING',
  [STATUS_FORBIDDEN]: 'ERR_IVSHMEM_SPACE_FORBIDDEN',
  [STATUS_SPACE_EXISTS]: 'ERR_IVSHMEM_SPACE_EXISTS',
  [STATUS_SPACE_DIFFERS]: 'ERR_IVSHMEM_SPACE_SIZE',
} as const satisfies Record<number, ErrorCode>;

export function refusal(status: number, operation: string, on: string): IvshmemError {
  if (status in codes) return new IvshmemError(codes[status as keyof typeof codes], { operation, on });
  const [why, hint] = reasons[status] ?? [`status ${status}`, 'Use a server of the same version.'];
  return new IvshmemError('ERR_IVSHMEM_REFUSED', { operation, on, why, hint });
}
