import { isHeld, memberOf } from '../../membership/member.ts';
import { PAGE_BYTES } from '../../memory/layout.ts';
import type { RegionSample } from '../../observe/sample.ts';
import { carried, channelOf, hasAnswered, memberReport, statisticsOf } from '../../observe/tables.ts';
import type { RegionConfig } from '../config/schema.ts';
import type { RegionCore } from '../region/region-core.ts';

/** A region as its server knows it, with the counters that members and senders stored last. */
export function regionSample(config: RegionConfig, core: RegionCore, memory: ArrayBuffer): RegionSample {
  const { tables, truth } = core;
  const { views, channels, allocator } = truth;
  return {
    region: config.name,
    at: Date.now(),
    view: views.view,
    sizeBytes: config.size,
    slots: config.slots,
    channelEntries: config.channels,
    heapBytes: config.size - tables.heapPage * PAGE_BYTES,
    freeHeapBytes: allocator.freePages * PAGE_BYTES,
    members: views.records.filter(isHeld).map((record) => {
      const block = tables.members.block(record.slot);
      return {
        ...memberReport(memberOf(record)),
        statistics: statisticsOf(tables.words, block),
        answered: hasAnswered(tables.words, block),
      };
    }),
    channels: [...channels.open].map((channel) => {
      const { number, generation, queueSize, dataBytes, closed } = channel;
      const place = { offset: channel.firstPage * PAGE_BYTES, queueSize, dataBytes };
      const sides = { connector: channel.connector.slot, listener: channel.listener.slot };
      return channelOf({ number, generation, closed, ...sides, ...place }, carried(memory, place));
    }),
  };
}
