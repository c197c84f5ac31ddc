import { IvshmemError, isIvshmemError } from '../errors/index.ts';
import type { RegionHeader } from '../memory/header.ts';
import {
  CHANNEL_BYTES,
  CHANNEL_OPEN,
  CHANNEL_W,
  channelLayout,
  MAX_QUEUE_SIZE,
  MIN_QUEUE_SIZE,
  PAGE_BYTES,
} from '../memory/layout.ts';

/** A private, checked copy of one channel table entry. */
export interface ChannelRecord {
  readonly number: number;
  readonly open: boolean;
  readonly generation: number;
  readonly connector: number;
  readonly listener: number;
  /** Byte offset of the channel's memory in the region. */
  readonly offset: number;
  readonly queueSize: number;
  readonly dataBytes: number;
  readonly closed: number;
  readonly listenerId: number;
}

/** What connect() allows; offsets within a data area then fit 31 bits. */
const MAX_DATA_BYTES = 1 << 30;
const ENTRY_WORDS = CHANNEL_BYTES / 4;

/** Copies and checks entry `number`; null when it is free. Any member can scribble on the table, hence the checks. */
export function readRecord(words: Int32Array, header: RegionHeader, number: number): ChannelRecord | null {
  const refuse = (why: string): never => {
    throw new IvshmemError('ERR_IVSHMEM_CHANNEL_TABLE', { on: number, why });
  };
  if (number < 1 || number >= header.channels) return refuse(`the region has ${header.channels} entries`);
  const at = (header.channelTablePage * PAGE_BYTES) / 4 + number * ENTRY_WORDS;
  // Acquire: pairs with the server's release of `state`, which it writes last.
  const state = Atomics.load(words, at + CHANNEL_W.state);
  // Before the copy: after a restart of the server every member looks at every entry, and messages wait meanwhile.
  if (state !== CHANNEL_OPEN) return null;
  const entry = words.slice(at, at + ENTRY_WORDS);
  const queueSize = entry[CHANNEL_W.queueSize]!;
  const dataBytes = entry[CHANNEL_W.dataBytes]! >>> 0;
  const slots = entry[CHANNEL_W.slots]!;
  const firstPage = entry[CHANNEL_W.firstPage]! >>> 0;
  const pages = entry[CHANNEL_W.pages]! >>> 0;
  if (queueSize < MIN_QUEUE_SIZE || queueSize > MAX_QUEUE_SIZE || (queueSize & (queueSize - 1)) !== 0)
    refuse(`queue size ${queueSize}`);
  if (dataBytes === 0 || dataBytes > MAX_DATA_BYTES || dataBytes % PAGE_BYTES !== 0)
    refuse(`${dataBytes} data bytes`);
  if (firstPage < header.heapPage || firstPage + pages > header.regionPages)
    refuse(`pages ${firstPage}+${pages}`);
  if (channelLayout(queueSize, dataBytes).bytes > pages * PAGE_BYTES)
    refuse(`${pages} pages for ${queueSize} x ${dataBytes}`);
  return {
    number,
    open: true,
    generation: entry[CHANNEL_W.generation]!,
    connector: slots & 0xffff,
    listener: slots >>> 16,
    offset: firstPage * PAGE_BYTES,
    queueSize,
    dataBytes,
    closed: entry[CHANNEL_W.closed]!,
    listenerId: entry[CHANNEL_W.listener]!,
  };
}

/** readRecord for an entry that an event named: what is wrong with it is a value, for only its own channel is concerned. */
export function examineRecord(
  words: Int32Array,
  header: RegionHeader,
  number: number,
): ChannelRecord | IvshmemError | null {
  try {
    return readRecord(words, header, number);
  } catch (error) {
    if (isIvshmemError(error, 'ERR_IVSHMEM_CHANNEL_TABLE')) return error;
    throw error;
  }
}
