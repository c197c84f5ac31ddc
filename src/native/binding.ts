import { loadAddon } from './addon.ts';
import type { SpreadMemory, SpreadMemoryOptions } from './spread-memory.ts';

export * from './spread-memory.ts';

/**
 * The declared surface of native/: mechanism only (fd, mmap, ioctl, eventfd, uv handles).
 * Every call that fails in the kernel throws an Error with `code` ('EACCES'), `errno` (positive) and `syscall`.
 * File descriptors are plain numbers owned by the caller; close them with fs.closeSync.
 */
export interface Binding {
  // --- memory (native/mapping) ---
  /**
   * mmap(MAP_SHARED) of `fd`; offset in bytes, aligned to pages of 4096 also in a file on huge pages, length in bytes. The pages it
   * takes are whole, `buffer` is exactly `length` long.
   */
  mapFile(fd: number, offset: number, length: number, writable: boolean): Mapping;
  /** Anonymous private memory, page-aligned, zeroed, locked for DMA; `hugePages` asks for 2 MiB pages (throws ENOMEM if none). */
  mapAnonymous(length: number, hugePages: boolean): Mapping;
  /** memfd_create + ftruncate; sealed: F_SEAL_SHRINK|GROW|SEAL. hugePages: MFD_HUGETLB (2 MiB). */
  createMemfd(name: string, length: number, sealed: boolean, hugePages: boolean): number;
  /** fallocate(PUNCH_HOLE|KEEP_SIZE): [offset, offset + length) of the file reads as zeros and takes no memory. */
  punchHole(fd: number, offset: number, length: number): void;
  /**
   * Has the kernel put what [offset, offset + length) of a mapped memfd or file on tmpfs holds into pages of 2 MiB, and takes the
   * memory for it (MADV_COLLAPSE, Linux 6.1), in a thread. Contents stay, and so do mappings, those of other processes too. `buffer` is
   * that of a Mapping, which may be closed meanwhile; both in bytes, multiples of 2 MiB. Resolves with 0, or with the errno (positive)
   * of what the kernel could not do: then some of it is as before.
   */
  collapsePages(buffer: ArrayBuffer, offset: number, length: number): Promise<number>;
  /** memcpy with non-temporal stores for lengths >= 4 KiB; byte offsets into two ArrayBuffers, bounds-checked. */
  copyNonTemporal(
    target: ArrayBuffer,
    targetOffset: number,
    source: ArrayBuffer,
    sourceOffset: number,
    length: number,
  ): void;

  /**
   * Asks the processor to fetch the lines of [offset, offset + length) into its cache, for reading or for writing. A hint with
   * no effect on contents; what lies outside the buffer is left alone. JavaScript has no such instruction.
   */
  prefetch(buffer: ArrayBuffer, offset: number, length: number, forWrite: boolean): void;

  // --- eventfd (native/eventfd) ---
  /** eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC). */
  eventfdCreate(): number;
  /** Adds 1. A full counter is not an error. */
  eventfdSignal(fd: number): void;
  /** Reads and resets the counter; 0 when it was not signalled. */
  eventfdDrain(fd: number): number;

  // --- UNIX sockets with descriptor passing (native/unix_socket) ---
  /** AF_UNIX SOCK_STREAM, non-blocking, bound and listening. '@name' is an abstract socket. */
  socketListen(path: string, backlog: number): number;
  /** accept4(NONBLOCK|CLOEXEC); -1 when nobody waits. */
  socketAccept(fd: number): number;
  /** Connects (blocking for the UNIX connect only); the fd returned is non-blocking. */
  socketConnect(path: string): number;
  /** SO_PEERCRED of a connected socket. */
  socketCredentials(fd: number): { pid: number; uid: number; gid: number };
  /** Nothing more is sent: the peer reads an end of stream (SHUT_WR). What it says is still heard. */
  socketEnd(fd: number): void;
  /** SO_SNDBUF (bytes asked; the kernel may clamp). */
  socketSendBuffer(fd: number, bytes: number): void;
  /**
   * One sendmsg: one signed 64-bit little-endian integer (a safe integer) and at most one fd (-1: none), MSG_NOSIGNAL.
   * False when the socket is full (EAGAIN). A short write cannot happen: 8 bytes on a stream socket are checked and throw.
   */
  sendMessage(fd: number, value: number, passFd: number): boolean;
  /** sendMessage for n messages as one sendmmsg burst: how many were taken (0..n). fds[i] = -1: none. */
  sendMessages(fd: number, values: readonly number[], fds: readonly number[]): number;
  /** One 8-byte message and its fd (-1: none; CLOEXEC set). null: nothing yet. undefined: end of stream. Reassembles fragments internally per fd. */
  receiveMessage(fd: number): { value: number; fd: number } | null | undefined;

  // --- datagrams, as sd_notify(3) sends them (native/notify) ---
  /** AF_UNIX SOCK_DGRAM, non-blocking, bound, SO_PASSCRED. '@name' is an abstract socket. */
  datagramBind(path: string): number;
  /** Sends `text` (1 to 4096 bytes) and at most one fd (-1: none) to a bound socket; waits up to 5 s while its queue is full, then EAGAIN. */
  datagramSend(path: string, text: string, passFd: number): void;
  /** One datagram, the fd that came with it (-1: none; CLOEXEC set) and who sent it as the kernel vouches; null: nothing yet. */
  datagramReceive(fd: number): { text: string; fd: number; pid: number; uid: number } | null;

  /** sched_yield: lets another runnable thread have this processor; about 0.3 us when there is none. */
  yieldProcessor(): void;

  // --- processes (native/process) ---
  /**
   * Blocks until a process has ended, at most `timeoutMs`; whether it has. Its exit status stays for whoever started it. A process
   * that is not there has ended.
   */
  waitForExit(pid: number, timeoutMs: number): boolean;

  // --- waiting (native/fd_watch, native/interrupt_thread, native/loop_waiter) ---
  readonly FdWatch: new (
    fd: number,
    onEvent: (readable: boolean, writable: boolean) => void,
  ) => FdWatch;
  readonly InterruptThread: new (
    eventfds: readonly number[],
    onInterrupt: (vector: number, count: number) => void,
  ) => InterruptThread;
  readonly LoopWaiter: new (options: LoopWaiterOptions) => LoopWaiter;

  // --- IP packets (native/tun) ---
  /**
   * A new TUN device of this name ('%d' in it: the next free number) and 1 to 16 queues, which goes when the descriptors are closed:
   * packets of the kernel come from `in`, packets for it go to `out`, which may be the same. Non-blocking; a struct virtio_net_hdr before
   * each packet; checksum and segmentation offloads on, that of UDP where the kernel has it. The name is at most 15 bytes.
   */
  openTun(
    name: string,
    queues: number,
  ): {
    readonly name: string;
    readonly queues: readonly { readonly in: number; readonly out: number }[];
    readonly udpSegmentation: boolean;
  };
  /** Whether the kernel may give UDP in large packets, of a device for which openTun said that it can. By a descriptor of any queue. */
  setTunUdpSegmentation(fd: number, on: boolean): void;
  readonly PacketPump: new (options: PacketPumpOptions) => PacketPump;

  // --- spaces across hosts (native/dsm, docs/shared-memory.md) ---
  /** Ticket -1 of onEvent is a call: the second number is the party that is gone, or 0: look again at what is waited for. */
  readonly SpreadMemory: new (
    options: SpreadMemoryOptions,
    onEvent: (ticket: number, outcome: number, page: number) => void,
  ) => SpreadMemory;
  /** The numbers of native/dsm/shared_layout.h, compared with src/dsm/spread/layout.ts by a test. */
  readonly spreadAbi: Readonly<Record<string, number>>;

  // --- VFIO: one function per ioctl (native/vfio), linux/vfio.h ---
  vfioApiVersion(container: number): number;
  vfioCheckExtension(container: number, extension: number): number;
  vfioSetIommu(container: number, type: number): void;
  vfioGroupStatus(group: number): number;
  vfioGroupSetContainer(group: number, container: number): void;
  vfioGroupUnsetContainer(group: number): void;
  vfioGroupGetDevice(group: number, name: string): number;
  vfioDeviceInfo(device: number): { flags: number; regions: number; irqs: number };
  vfioRegionInfo(device: number, index: number): { flags: number; size: number; offset: number };
  vfioIrqInfo(device: number, index: number): { flags: number; count: number };
  /** VFIO_IRQ_SET_DATA_EVENTFD|ACTION_TRIGGER from vector `start`; -1 in eventfds de-assigns one. */
  vfioSetIrqEventfds(device: number, index: number, start: number, eventfds: readonly number[]): void;
  /** VFIO_IRQ_SET_DATA_NONE|ACTION_TRIGGER with count 0: disables the whole index. */
  vfioDisableIrqs(device: number, index: number): void;
  vfioUnmaskIrq(device: number, index: number): void;
  vfioDeviceReset(device: number): void;
  /** VFIO_IOMMU_MAP_DMA of [offset, offset+length) of a mapping at I/O virtual address `iova`. */
  vfioMapDma(
    container: number,
    mapping: Mapping,
    offset: number,
    length: number,
    iova: number,
    readable: boolean,
    writable: boolean,
  ): void;
  vfioUnmapDma(container: number, iova: number, length: number): void;

  // --- ABI: the numbers of the C++ twin, compared with src/ by a test ---
  readonly abi: Readonly<Record<string, number>>;
}

/** Owning mmap. `buffer` is an external ArrayBuffer; it is detached before the memory is unmapped. */
export interface Mapping {
  readonly buffer: ArrayBuffer;
  readonly byteLength: number;
  /** Detaches `buffer`, then unmaps. Idempotent. Every view of it reads length 0 afterwards. */
  close(): void;
  /**
   * Puts private zero pages over the mapping (MAP_FIXED) and keeps `buffer` attached: after a surprise removal loads
   * return zeros and stores go nowhere, instead of SIGBUS.
   */
  revoke(): void;
  /**
   * Revokes by itself when a load or store finds the memory gone, where the process would get SIGBUS. From the first call on a
   * handler for that signal is installed, which passes everything else on. Idempotent.
   */
  guard(): void;
}

/** uv_poll on a duplicate of one fd, so the caller may close its own at any time. Created stopped and unref'ed. */
export interface FdWatch {
  start(readable: boolean, writable: boolean): void;
  stop(): void;
  ref(): void;
  unref(): void;
  /** Stops and closes the handle (the fd stays open). Idempotent. */
  close(): void;
}

/**
 * A thread that watches eventfds (duplicates of them: the caller keeps and closes its own): sleeps in epoll, drains, counts,
 * and tells JavaScript through uv_async, coalescing while a call is under way. Unref'ed: it never keeps the process alive.
 */
export interface InterruptThread {
  /** Interrupts seen per vector since creation (sum of eventfd counters, so coalesced rings count singly per drain). */
  counts(): number[];
  /** Wake-ups that carried no signal. */
  spurious(): number;
  ref(): void;
  unref(): void;
  /** Joins the thread. Idempotent. Also run at environment exit. */
  close(): void;
}

export interface LoopWaiterOptions {
  /** The words to watch: any non-zero one means work. Live shared memory. */
  readonly words: Int32Array;
  /** One word: 1 while this side sleeps and wants its doorbell rung. */
  readonly armed: Int32Array;
  /** The eventfd of the doorbell, or -1 when there is none (polled backends). */
  readonly eventfd: number;
  /** Longest spin in uv_prepare, nanoseconds, before expectBell lengthened it; 0 never spins. Halves when spinning finds nothing, doubles back when it does. */
  readonly spinNs: number;
  /** With eventfd -1: how often to look while asleep, milliseconds. */
  readonly pollMs: number;
  /**
   * Called on the loop when a word is non-zero or the bell rang. It must consume the words: while one stays non-zero it is
   * called again, at most 64 times or 200 us in a row before the rest of the loop gets its turn.
   */
  readonly onWork: () => void;
}

/**
 * The event-loop-friendly wait (docs/decisions/): uv_prepare spins on `words` while the loop has nothing else to do
 * (its backend fd is not readable, its timeout is not 0), then stores armed=1, fences, re-checks, and lets uv_poll on the
 * eventfd wake the loop; uv_check stores armed=0. Created stopped and unref'ed.
 */
export interface LoopWaiter {
  start(): void;
  stop(): void;
  ref(): void;
  unref(): void;
  /**
   * The next bell is one that the caller makes ring now, to learn what a wake-up costs here; it counts nowhere. The middle one of three
   * lengthens the longest spin, to at most a millisecond, unless that is 0.
   */
  expectBell(): void;
  /** [spins that found work, sleeps, bells, spurious bells] since creation. */
  statistics(): [spins: number, sleeps: number, bells: number, spurious: number];
  /** Must be called before the memory under `words` and `armed` is unmapped. Stores armed=0. Idempotent. */
  close(): void;
}

export interface PacketPumpOptions {
  /** Of openTun; the caller keeps and closes its own. */
  readonly tunIn: number;
  readonly tunOut: number;
  /** The eventfd that peers ring, or -1: then it looks every millisecond while it has channels. */
  readonly eventfd: number;
  /** An eventfd that is signalled when a channel broke or the TUN device failed. */
  readonly notice: number;
  /** The longest look for packets before sleeping, nanoseconds; looks that find nothing get shorter. */
  readonly spinNs: number;
  /** Our own addresses: packets of peers to others are dropped. */
  readonly addresses: readonly string[];
}

/** One direction of a channel: byte offsets into the memory, `size` in descriptors. */
export interface PacketDirection {
  readonly ring: number;
  readonly driverEvent: number;
  readonly deviceEvent: number;
  readonly size: number;
  readonly data: number;
  readonly dataBytes: number;
}

export interface PacketChannel {
  readonly id: number;
  /** The buffer of a Mapping: it stays mapped while the channel is attached. */
  readonly memory: ArrayBuffer;
  readonly outgoing: PacketDirection;
  readonly incoming: PacketDirection;
  /** How to ring the peer; null: it polls. */
  readonly doorbell:
    | { readonly eventfd: number }
    | { readonly registers: ArrayBuffer; readonly offset: number; readonly value: number }
    | null;
  /** The peer's addresses: what is sent to them goes here if it is `routed`, and what comes from here is from them. */
  readonly addresses: readonly string[];
  readonly routed: boolean;
}

/** What a pump moved and dropped since it was made. Bytes are of IP packets. */
export interface PacketCounters {
  readonly packetsSent: number;
  readonly bytesSent: number;
  readonly packetsReceived: number;
  readonly bytesReceived: number;
  /** Dropped, of ours: no peer has the destination; the peer did not take what it had. */
  readonly noRoute: number;
  readonly congested: number;
  /** Dropped, of either: no IP packet of the length it says. */
  readonly malformed: number;
  /** Dropped, of peers: offload fields that contradict the packet; another's source; not to us; the kernel refused it. */
  readonly offload: number;
  readonly source: number;
  readonly destination: number;
  readonly refused: number;
  /** Packets that waited for room. */
  readonly held: number;
  readonly sleeps: number;
}

/** A thread that moves IP packets between a TUN device and channels. Never keeps the process alive. */
export interface PacketPump {
  /** Takes over both directions of a channel whose rings are as the server made them. TypeError or RangeError for what does not fit. */
  attach(channel: PacketChannel): void;
  /** The memory of the channel is not touched any more when this returns. */
  detach(id: number): void;
  /** Attached channels whose peer broke the rules of the ring; nothing moves there any more. */
  broken(): number[];
  /** errno of the TUN device when it is of no use any more, else 0. */
  failure(): number;
  /** The last ones once closed. */
  counters(): PacketCounters;
  /** Joins the thread. Idempotent. Also run at environment exit. */
  close(): void;
}

export const binding: Binding = loadAddon() as Binding;
