/**
 * The shared-memory layout of a region, version 1.2. docs/shared-memory.md is the normative text; a test holds the
 * two together. All fields are little-endian 32-bit words; `W` constants are word indices within their structure.
 * Nothing here is a pointer: positions are pages of 4096 bytes or byte offsets from the start of the region.
 */

export const PAGE_BYTES = 4096;
export const LAYOUT_MAJOR = 1;
/** 1.1 added the membership part; a 1.0 region says membershipPage 0. 1.2 added the space table, directly before heapPage. */
export const LAYOUT_MINOR = 2;
/** The first minor version whose regions have spaces. */
export const SPACES_MINOR = 2;
/** "IVSH" "MEM1", the first eight bytes. */
export const MAGIC_0 = 0x48535649;
export const MAGIC_1 = 0x314d454d;

export const MIN_REGION_BYTES = 1 << 20;
export const MAX_SLOTS = 256;
/** Bounded by half a line of summary bits: 8 words x 32 pending words x 32 channels. */
export const MAX_CHANNELS = 8192;
/** The slot the server itself occupies. */
export const SERVER_SLOT = 0;
export const NAME_BYTES = 32;
export const SERVICE_BYTES = 64;

/** Region header: page 0. Written once by the server before the first client is admitted. */
export const HEADER_W = {
  magic0: 0,
  magic1: 1,
  /** major << 16 | minor */
  version: 2,
  regionPages: 3,
  slots: 4,
  vectors: 5,
  channels: 6,
  slotTablePage: 7,
  memberPage: 8,
  channelTablePage: 9,
  heapPage: 10,
  /** 0: the region has no membership part (version 1.0). */
  membershipPage: 11,
  /** 16 random bytes, new each time a server formats the region. */
  uuid: 12,
  /** NAME_BYTES x 2 bytes of UTF-8, NUL-padded. */
  name: 16,
  /** CRC-32 (zlib) of words 0..31. */
  checksum: 32,
  /** 1 once everything else is in place (release; pairs with the acquire in readHeader). */
  ready: 33,
} as const;
export const REGION_NAME_BYTES = 64;

/** Slot table entry: written by the server only. */
export const SLOT_BYTES = 64;
export const SLOT_W = { state: 0, epoch: 1, pid: 2, uid: 3, gid: 4, generation: 5, name: 8 } as const;
export const SLOT_FREE = 0;
/** A client holds the slot; no driver has said HELLO yet. */
export const SLOT_OCCUPIED = 1;
/** A driver attached: name and generation are valid. */
export const SLOT_ATTACHED = 2;

/** Member block: one page per slot. */
export const MEMBER_BYTES = PAGE_BYTES;
export const MEMBER_W = {
  /** 1 while the member sleeps. Written by the member; a peer that exchanges 1 for 0 owes it a doorbell. */
  armed: 0,
  /**
   * 16 words, alone on their line: the line a member spins on. Bit b of word w < DIRECT_WORDS: channel w*32+b (in the server's
   * block: slot w*32+b) has work. Bit b of word DIRECT_WORDS+g: pending word g*32+b may be non-zero.
   */
  summary: 16,
  /** 256 words; bit b of word w: channel w*32+b has work. The first DIRECT_WORDS are not used: those channels' bits are in `summary`. */
  pending: 32,
  /** Request to the server: [seq, op, 62 words of arguments]. Written by the member; `seq` last (release). */
  request: 640,
  /** Reply of the server: [seq, status, 14 words]. Written by the server; `seq` last (release). */
  reply: 768,
  /** Channel events from the server: [count], then at `events` a ring of EVENT_ENTRIES channel numbers; count last (release). */
  eventCount: 832,
  events: 848,
  /** DRAFT_BYTES of items (memory/member-record.ts) for DESCRIBE. Written by the member. */
  draft: 288,
  /** Generation of the driver's life that has ended; written when it cannot say GOODBYE any more, `obituary` last (release). */
  obituary: 544,
  /** REASON_* of it. */
  obituaryReason: 545,
  /** Not 0: the holder of the slot wants CONTROL_BIT for every view. Written by the member. */
  watching: 560,
  /** Server: a new number asks for statistics and a sign of life. */
  pulse: 576,
  /** Member: the last `pulse` answered (release, after the statistics). */
  pulseAnswer: 592,
  /** 32 counters of 64 bits (low word, high word) in the order of STATISTICS. Written by the member when a pulse asks. */
  statistics: 704,
} as const;
export const DRAFT_BYTES = 1024;
/** What the counters of a member's statistics mean, by position; the rest is 0. */
export const STATISTICS = [
  'messagesSent',
  'bytesSent',
  'messagesReceived',
  'bytesReceived',
  /** Doorbells this member rang. */
  'doorbellsRung',
  /** Doorbells that woke it, and those among them that brought nothing. */
  'doorbellsTaken',
  'doorbellsSpurious',
  /** How often it went to sleep. */
  'sleeps',
  /** How often spinning found work. */
  'spins',
  'channelsOpened',
  'channelsEnded',
  /** Connections of sockets that took part, and those among them that are closed. */
  'socketsOpened',
  'socketsClosed',
  /** How often one went over to shared memory, and back to TCP or was closed there. */
  'socketsToSharedMemory',
  'socketsToTcp',
] as const;
/** The part of them that counts sockets. */
export type SocketCounts = Record<Extract<StatisticName, `sockets${string}`>, number>;
export type StatisticName = (typeof STATISTICS)[number];
export const SUMMARY_WORDS = 16;
/** Words of the summary line that hold marks themselves: one store tells of one of the first 256 channels. */
export const DIRECT_WORDS = 8;
export const PENDING_WORDS = 256;
export const REQUEST_WORDS = 64;
export const REPLY_WORDS = 16;
export const EVENT_ENTRIES = 128;
/** Channel 0 does not exist: its pending bit announces a reply or channel events. */
export const CONTROL_BIT = 0;

/** Operations of the request mailbox. Arguments follow in word order. */
export const OP_HELLO = 1; // [version, generation, name(8 words), from 1.1: backend, bytes of items in draft] -> [slot epoch]
export const OP_LISTEN = 2; // [service(16 words)] -> [listener]
export const OP_UNLISTEN = 3; // [listener]
export const OP_CONNECT = 4; // [queueSize, dataBytes, peerName(8 words), service(16 words)] -> [channel, generation]
export const OP_CLOSE = 5; // [channel, generation]
export const OP_GOODBYE = 6; // [from 1.1: reason]
export const OP_DESCRIBE = 7; // [bytes of items in draft]
export const OP_DRAIN = 8; // []
export const OP_SUSPECT = 9; // [milliseconds, 0: no longer]
export const OP_REFRESH = 10; // []
export const OP_SPACE_OPEN = 11; // [mode, flags, bytes low, bytes high, name(16 words), log2 of the page size if spread] -> [space, generation, firstPage, pages, created]
export const OP_SPACE_CLOSE = 12; // [space, generation]
export const OP_SPACE_REMOVE = 13; // [name(16 words)] -> [holders it still has; of a spread space, hosts with such]
export const OP_SPACE_REVOKE = 14; // of a spread space: [name(16 words)] -> [hosts that had holders]

/** Modes of SPACE_OPEN. */
export const OPEN_EXISTING = 0;
export const OPEN_NEW = 1;
export const OPEN_ANY = 2;
/** Flag of SPACE_OPEN and of an entry: the space outlives its holders. */
export const SPACE_PERSISTENT = 1;
/**
 * Flag of SPACE_OPEN and of an entry: its pages move between hosts. What it has in this region are a control part and frames; its size is
 * that of all of it.
 */
export const SPACE_SPREAD = 2;
/** Flag of SPACE_OPEN and of an entry, beside SPACE_SPREAD: what hosts store to it is exchanged at releases and acquires (docs/dsm-hosts.md). */
export const SPACE_RELEASE = 4;
/** Of these flags, beside SPACE_RELEASE, the bits from this one on: how many hosts are to have each page, less one. */
export const SPACE_REPLICAS_SHIFT = 8;
export const MOST_REPLICAS = 64;
export const CONSISTENCIES = ['sequential', 'release'] as const;
/** When a store of one host is seen on another. */
export type Consistency = (typeof CONSISTENCIES)[number];

export const STATUS_OK = 0;
export const STATUS_VERSION = 1;
export const STATUS_NO_SERVICE = 2;
export const STATUS_NO_MEMORY = 3;
export const STATUS_NO_CHANNEL = 4;
export const STATUS_NAME_TAKEN = 5;
export const STATUS_BAD_REQUEST = 6;
export const STATUS_NOT_ATTACHED = 7;
export const STATUS_QUOTA = 8;
export const STATUS_EVICTED = 9;
export const STATUS_NO_SPACE = 10;
export const STATUS_SPACE_EXISTS = 11;
export const STATUS_SPACE_DIFFERS = 12;
/** Other hosts are needed, and not enough of them are there or have room. */
export const STATUS_NO_HOSTS = 13;
/** The server's configuration does not let this member, or this host, do that with the space. */
export const STATUS_FORBIDDEN = 14;

/** Channel table entry: written by the server only. */
export const CHANNEL_BYTES = 64;
export const CHANNEL_W = {
  state: 0,
  /** Incremented each time the entry is allocated; names one life of it. */
  generation: 1,
  /** slot of the connecting member | slot of the listening member << 16 */
  slots: 2,
  connectorEpoch: 3,
  listenerEpoch: 4,
  firstPage: 5,
  pages: 6,
  /** Descriptors per direction, a power of two. */
  queueSize: 7,
  /** Bytes of data area per direction, a multiple of 4096. */
  dataBytes: 8,
  /** CLOSED_* bits: which side is gone, and how. */
  closed: 9,
  listener: 10,
} as const;
export const CHANNEL_FREE = 0;
export const CHANNEL_OPEN = 1;
export const CLOSED_CONNECTOR = 1;
export const CLOSED_LISTENER = 2;
/** With one of the above: that side died instead of closing. */
export const CLOSED_DIED = 4;

/** Space table entry: written by the server only. */
export const SPACE_BYTES = 128;
export const MAX_SPACES = 128;
export const SPACE_W = {
  state: 0,
  /** Another one for each space the region ever had. */
  generation: 1,
  /** Of the system part, which is directly before the user part. */
  firstPage: 2,
  /** Of both parts. */
  pages: 3,
  systemPages: 4,
  /** What its creator asked for, low and high word: the user part without the rest of its last page. */
  bytesLow: 5,
  bytesHigh: 6,
  flags: 7,
  /** How many members have it open. */
  holders: 8,
  /** Slot and epoch of who made it. */
  creator: 9,
  creatorEpoch: 10,
  /** SPACE_NAME_BYTES of UTF-8, NUL-padded. */
  name: 16,
} as const;
export const SPACE_NAME_BYTES = 64;
export const SPACE_FREE = 0;
export const SPACE_OPEN = 1;
/** Of a space: what synchronization keeps of it, out of the way of who uses the rest. */
export const SYSTEM_PAGES = 16;

export const DESCRIPTOR_BYTES = 16;
/** Each event suppression structure sits alone on 128 bytes (two lines: adjacent-line prefetch). */
export const SUPPRESSION_STRIDE = 128;
/**
 * Where a driver event suppression structure's 128 bytes hold what its side sent on the channel: messages, bytes, each 64 bits
 * (low word, high word). Written when a pulse asks, never on the way of a message.
 */
export const CHANNEL_STATISTICS = 64;
export const MIN_QUEUE_SIZE = 2;
export const MAX_QUEUE_SIZE = 32768;

/** Byte offsets of one direction within a channel's memory. */
export interface DirectionLayout {
  readonly ring: number;
  readonly driverEvent: number;
  readonly deviceEvent: number;
  readonly data: number;
}

const pageUp = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;

/**
 * One channel's memory: direction 0 (connector drives, listener is the device), then direction 1 (the reverse).
 * Each direction is ring | driver event | device event, padded to a page, then its data area.
 */
export function channelLayout(
  queueSize: number,
  dataBytes: number,
): { directions: [DirectionLayout, DirectionLayout]; bytes: number } {
  const head = pageUp(queueSize * DESCRIPTOR_BYTES + 2 * SUPPRESSION_STRIDE);
  const at = (start: number): DirectionLayout => ({
    ring: start,
    driverEvent: start + queueSize * DESCRIPTOR_BYTES,
    deviceEvent: start + queueSize * DESCRIPTOR_BYTES + SUPPRESSION_STRIDE,
    data: start + head,
  });
  return { directions: [at(0), at(head + dataBytes)], bytes: 2 * (head + dataBytes) };
}

/** Bytes of one record of the membership table: the longest record there is. */
export const RECORD_BYTES = 1024;
/** The view log, a power of two. */
export const LOG_BYTES = 64 << 10;

/** Where the tables of a region of this shape lie, in pages. A region without spaces has a spacePage of heapPage. */
export function tablePages(slots: number, channels: number, minor: number = LAYOUT_MINOR) {
  const slotTablePage = 1;
  const memberPage = slotTablePage + pageUp(slots * SLOT_BYTES) / PAGE_BYTES;
  const channelTablePage = memberPage + slots;
  const membershipPage = channelTablePage + pageUp(channels * CHANNEL_BYTES) / PAGE_BYTES;
  const spacePage = membershipPage + membershipPages(slots);
  const heapPage = spacePage + (minor < SPACES_MINOR ? 0 : SPACE_PAGES);
  return { slotTablePage, memberPage, channelTablePage, membershipPage, spacePage, heapPage };
}

/** Of the space table. */
export const SPACE_PAGES = (MAX_SPACES * SPACE_BYTES) / PAGE_BYTES;

/** Pages of the membership part: its header, two copies of the table, the log. */
export function membershipPages(slots: number): number {
  return 1 + (2 * pageUp(slots * RECORD_BYTES) + LOG_BYTES) / PAGE_BYTES;
}
