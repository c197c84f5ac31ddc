import { hostname } from 'node:os';
import { threadId } from 'node:worker_threads';
import type { OpenOptions } from '../channel/index.ts';

/** Bytes of a member's name. */
const NAME_BYTES = 32;

/** What the environment says about transparent mode. An empty variable is an unset one, as shells use it. */
export interface Settings {
  /** False with IVSHMEM_TRANSPARENT=off: nothing is changed at all. */
  readonly on: boolean;
  /** IVSHMEM_TLS=all: TLS and cleartext HTTP/2 can change their path whoever the peer is. */
  readonly everyTls: boolean;
  /** IVSHMEM_WARN: a region that cannot be opened is a warning of the process. */
  readonly warn: boolean;
  /** Of `open`; IVSHMEM_SOCKET it reads itself. */
  readonly open: OpenOptions;
}

export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const { IVSHMEM_DEVICE: device, IVSHMEM_ADDRESSES: addresses, IVSHMEM_LABELS: labels } = env;
  const isPci = /^[0-9a-f]{2,}:[0-9a-f:.]+$/i.test(device ?? '');
  return {
    on: env.IVSHMEM_TRANSPARENT !== 'off',
    everyTls: env.IVSHMEM_TLS === 'all',
    warn: (env.IVSHMEM_WARN || '0') !== '0',
    open: {
      name: nameOf(env.IVSHMEM_NAME || hostname()),
      ...(device ? (isPci ? { address: device } : { region: device }) : {}),
      ...(addresses === undefined ? {} : { addresses: listOf(addresses) }),
      ...(labels ? { labels: Object.fromEntries(listOf(labels).map(pairOf)) } : {}),
    },
  };
}

const listOf = (text: string): string[] =>
  text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');

function pairOf(text: string): [string, string] {
  const at = text.indexOf('=');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** Children have the same environment, and names are unique: the process, and a worker thread, have their numbers in theirs. */
function nameOf(stem: string): string {
  const number = `-${process.pid}${threadId === 0 ? '' : `.${threadId}`}`;
  let kept = stem;
  while (Buffer.byteLength(kept) + number.length > NAME_BYTES) kept = kept.slice(0, -1);
  return `${kept}${number}`;
}
