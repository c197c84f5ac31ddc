import type { Benchmark } from '../harness/types.ts';
import { absentPeer, floor, nativePeer, ours, stream, zeromq } from './contestants.ts';

const memifLarge = absentPeer(
  'memif',
  'a memif packet is at most 65,535 bytes and its buffers 2 KiB by default',
);
const memifAsleep = absentPeer('memif', 'the DPDK driver only polls');

/** The benchmarks between two processes of one host. Built late: which peers are there is known after the build. */
export function coreBenchmarks(): Benchmark[] {
  const rtt = { metric: 'round trip, 64 bytes', unit: 'ns', better: 'lower' } as const;
  const rate = { metric: '64-byte messages, bursts of 32', unit: 'msg/s', better: 'higher' } as const;
  const bandwidth = { unit: 'B/s', better: 'higher' } as const;
  const sockets = (mode: string) => [zeromq(mode), stream('unix', mode), stream('tcp', mode)];
  return [
    {
      id: 'rtt-64-busy',
      ...rtt,
      metric: 'round trip, 64 bytes, both ends polling',
      contestants: [
        ours('rtt-busy'),
        floor('c-line', 'line'),
        floor('c-line-pair', 'line_pair'),
        floor('c-packed-rtt', 'packed_rtt'),
        nativePeer('memif', 'rtt'),
        nativePeer('iceoryx', 'rtt-poll'),
        ...sockets('rtt'),
      ],
      target: { baselineName: 'c-line', ratio: 2 },
    },
    {
      id: 'rate-64-burst',
      ...rate,
      contestants: [
        ours('rate'),
        floor('c-packed-ring', 'packed_rate'),
        floor('c-packed-ring-plain', 'packed_rate_plain'),
        nativePeer('memif', 'rate'),
        nativePeer('iceoryx', 'rate'),
        ...sockets('rate'),
      ],
      target: { baselineName: 'c-packed-ring', ratio: 0.5 },
    },
    {
      id: 'bandwidth-64k',
      ...bandwidth,
      metric: '64 KiB messages, copied in, read in place',
      contestants: [
        ours('in-place'),
        floor('c-copy', 'copy', 'in-place'),
        memifLarge,
        nativePeer('iceoryx', 'in-place'),
        ...sockets('in-place'),
      ],
      target: { baselineName: 'c-copy', ratio: 0.9 },
    },
    {
      id: 'bandwidth-64k-copied',
      ...bandwidth,
      metric: '64 KiB messages, copied in and out',
      contestants: [
        ours('copied'),
        floor('c-copy', 'copy', 'copied'),
        memifLarge,
        nativePeer('iceoryx', 'copied'),
        ...sockets('copied'),
      ],
      target: { baselineName: 'c-copy', ratio: 0.75 },
    },
    {
      id: 'rtt-64-asleep',
      ...rtt,
      metric: 'round trip, 64 bytes, both ends asleep',
      contestants: [
        ours('rtt-asleep'),
        floor('c-eventfd', 'eventfd'),
        memifAsleep,
        nativePeer('iceoryx', 'rtt-waitset'),
        ...sockets('rtt'),
      ],
      target: { baselineName: 'c-eventfd', ratio: 1.15 },
    },
    {
      id: 'rtt-64-loop',
      ...rtt,
      metric: 'round trip, 64 bytes, event loops that serve a timer',
      contestants: [ours('rtt-loop'), floor('c-line', 'line'), ...sockets('loop')],
      target: { baselineName: 'c-line', ratio: 8 },
    },
    {
      id: 'channels-1000',
      metric: 'time per message over 1,000 channels in turn',
      unit: 'ns',
      better: 'lower',
      contestants: [
        ours('channels', 'ours', '--channels', '1000'),
        ours('channels', '1-channel', '--channels', '1'),
        floor('c-packed-1000', 'packed_rtt', '1000'),
        floor('c-packed-rtt', 'packed_rtt'),
      ],
      target: { baselineName: '1-channel', ratio: 1.1 },
    },
  ];
}
