import type { SocketCounts, StatisticName } from '../memory/layout.ts';

/** A metric as Prometheus knows it. */
export interface Definition {
  readonly name: string;
  readonly help: string;
}

/** What a member counts, from its joining on. */
export const MEMBER_COUNTERS: Readonly<Record<StatisticName, Definition>> = {
  messagesSent: { name: 'ivshmem_member_sent_messages_total', help: 'Messages the member sent' },
  bytesSent: { name: 'ivshmem_member_sent_bytes_total', help: 'Bytes of the messages the member sent' },
  messagesReceived: { name: 'ivshmem_member_received_messages_total', help: 'Messages the member received' },
  bytesReceived: {
    name: 'ivshmem_member_received_bytes_total',
    help: 'Bytes of the messages the member received',
  },
  doorbellsRung: { name: 'ivshmem_member_doorbells_rung_total', help: 'Doorbells the member rang' },
  doorbellsTaken: { name: 'ivshmem_member_doorbells_taken_total', help: 'Doorbells that woke the member' },
  doorbellsSpurious: {
    name: 'ivshmem_member_doorbells_spurious_total',
    help: 'Doorbells that woke the member for nothing',
  },
  sleeps: { name: 'ivshmem_member_sleeps_total', help: 'How often the member went to sleep' },
  spins: { name: 'ivshmem_member_spins_total', help: 'How often the member found work without having slept' },
  channelsOpened: { name: 'ivshmem_member_channels_opened_total', help: 'Channels the member was a side of' },
  channelsEnded: { name: 'ivshmem_member_channels_ended_total', help: 'Those among them that have ended' },
  socketsOpened: {
    name: 'ivshmem_member_sockets_opened_total',
    help: 'Connections of sockets of the member that took part',
  },
  socketsClosed: {
    name: 'ivshmem_member_sockets_closed_total',
    help: 'Those among them that are closed',
  },
  socketsToSharedMemory: {
    name: 'ivshmem_member_sockets_to_shared_memory_total',
    help: 'How often one of them went over to shared memory',
  },
  socketsToTcp: {
    name: 'ivshmem_member_sockets_to_tcp_total',
    help: 'How often one went back to TCP, or was closed on shared memory',
  },
};

/** Sockets that are open now, of a member's statistics, by the path of what it sends. */
export function socketsOf(counts: SocketCounts): { sharedMemory: number; tcp: number } {
  const { socketsOpened, socketsClosed, socketsToSharedMemory, socketsToTcp } = counts;
  // Whoever writes them may write anything.
  const sharedMemory = Math.max(socketsToSharedMemory - socketsToTcp, 0);
  return { sharedMemory, tcp: Math.max(socketsOpened - socketsClosed - sharedMemory, 0) };
}

export const MEMBER_SOCKETS: Definition = {
  name: 'ivshmem_member_sockets',
  help: 'Connections of sockets that are open now, by path',
};

export const MEMBER_CHANNELS: Definition = { name: 'ivshmem_member_channels', help: 'Channels open now' };
