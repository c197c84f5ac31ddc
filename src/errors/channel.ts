import type { Entry } from './define.ts';

/** Regions, listeners and channels as a member uses them. */
export const channelErrors = {
  ERR_IVSHMEM_SERVER_SILENT: {
    attempted: '{operation} in the region {on}',
    why: 'the ivshmem server did not answer within {seconds} s',
    remedy:
      'Check that `ivshmem server` runs on the host and owns this socket. A server that was restarted answers again; if it made a fresh region (its log says so), open the region again.',
    kind: 'failure',
  },
  ERR_IVSHMEM_REFUSED: {
    attempted: '{operation} in the region {on}',
    why: 'the server refused: {why}',
    remedy: '{hint}',
    kind: 'failure',
  },
  ERR_IVSHMEM_NAME: {
    attempted: 'use the name {name}',
    why: 'a {what} name is 1 to {bytes} bytes of UTF-8 without control characters',
    remedy: 'Choose a shorter or plainer name.',
    kind: 'usage',
  },
  ERR_IVSHMEM_CHANNEL_TABLE: {
    attempted: 'use channel {on}',
    why: 'its entry in the shared channel table makes no sense: {why}',
    remedy: 'Some member wrote over the table; restart the region and keep that member out.',
    kind: 'failure',
  },
  ERR_IVSHMEM_MESSAGE_SIZE: {
    attempted: '{operation} a message of {bytes} bytes',
    why: 'the most it can be here is {most}',
    remedy: 'Use write(), which sends a message of any size in parts, or connect with a larger dataBytes.',
    kind: 'usage',
  },
  ERR_IVSHMEM_MESSAGE_TOO_LARGE: {
    attempted: 'receive a message in parts',
    why: 'it is larger than maxMessageBytes ({most})',
    remedy: 'Open the channel with a larger maxMessageBytes if you trust the sender.',
    kind: 'failure',
  },
  ERR_IVSHMEM_CHANNEL_OPTIONS: {
    attempted: 'connect a channel',
    why: '{why}',
    remedy: 'queueSize is a power of two from 2 to 32768, dataBytes a multiple of 4096 from 4096 to 1 GiB.',
    kind: 'usage',
  },
} as const satisfies Record<string, Entry>;
