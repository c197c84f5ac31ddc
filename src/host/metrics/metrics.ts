import { Counter, Gauge, Registry } from 'prom-client';
import { STATISTICS } from '../../memory/layout.ts';
import { MEMBER_CHANNELS, MEMBER_COUNTERS, MEMBER_SOCKETS, socketsOf } from '../../metrics/definitions.ts';
import type { RegionSample, SpacesReport } from '../../observe/sample.ts';
import type { Counters } from '../region/counters.ts';
import { defineSpread, fillSpread } from './spread-metrics.ts';

const COUNTED = [
  'views',
  'connections',
  'joins',
  'deaths',
  'pulses',
  'refreshes',
  'coalesced',
  'postponed',
] as const;

/** What is measured of a region; RegionServer is one. */
export interface Measured {
  readonly name: string;
  readonly counters: Counters;
  sample(): Promise<RegionSample>;
  /** Of this host only, unless `all`. */
  spaces(all: boolean): Promise<SpacesReport>;
}

/**
 * The metrics of a server, computed when they are asked for. Members are told apart by slot, of which there are few; names are
 * their own and without end.
 */
export class ServerMetrics {
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #regions: () => readonly Measured[];
  readonly #gauges = new Map<string, Gauge>();
  readonly #counters = new Map<string, Counter>();
  #underWay: Promise<string> | null = null;

  /** `regions`: those that are served now. */
  constructor(regions: () => readonly Measured[]) {
    this.#regions = regions;
    this.contentType = this.#registry.contentType;
    this.#gauge('ivshmem_region_size_bytes', 'Size of the shared memory', []);
    this.#gauge('ivshmem_region_slots', 'Members there is room for', []);
    this.#gauge('ivshmem_region_members', 'Members by state', ['state']);
    this.#gauge('ivshmem_region_channels', 'Open channels', []);
    this.#gauge('ivshmem_region_channel_entries', 'Channels there is room for', []);
    this.#gauge('ivshmem_region_heap_bytes', 'Memory for channels', []);
    this.#gauge('ivshmem_region_heap_free_bytes', 'Memory for channels that is free', []);
    this.#counter('ivshmem_region_views_total', 'Changes of who is here', []);
    this.#counter('ivshmem_region_connections_total', 'Clients that were given a slot', []);
    this.#counter('ivshmem_region_joins_total', 'Members that joined', []);
    this.#counter('ivshmem_region_leaves_total', 'Members that left, by reason', ['reason']);
    this.#counter('ivshmem_region_deaths_total', 'Members that left without a word', []);
    this.#counter('ivshmem_region_refusals_total', 'Clients that were refused, by reason', ['reason']);
    this.#counter('ivshmem_region_requests_total', 'Requests of members, by operation and answer', [
      'operation',
      'status',
    ]);
    this.#counter('ivshmem_region_pulses_total', 'Signs of life asked for', []);
    this.#counter('ivshmem_region_refreshes_total', 'How often the shared tables were written again', []);
    this.#counter('ivshmem_region_coalesced_total', 'Updates that were shown together with others', []);
    this.#counter(
      'ivshmem_region_postponed_total',
      'Requests and connections that came too often and had to wait',
      [],
    );
    for (const { name, help } of Object.values(MEMBER_COUNTERS)) this.#counter(name, help, ['slot']);
    this.#gauge(MEMBER_CHANNELS.name, MEMBER_CHANNELS.help, ['slot']);
    this.#gauge(MEMBER_SOCKETS.name, MEMBER_SOCKETS.help, ['slot', 'path']);
    this.#gauge('ivshmem_member_answered', '1: the counters of the member are of now', ['slot']);
    defineSpread({
      gauge: (name, help, labels) => this.#gauge(name, help, labels),
      counter: (name, help, labels) => this.#counter(name, help, labels),
    });
    const own = { labelNames: [], registers: [this.#registry] };
    const memory: Gauge = new Gauge({
      ...own,
      name: 'process_resident_memory_bytes',
      help: 'Resident memory of the server',
      collect: () => memory.set(process.memoryUsage.rss()),
    });
    const cpu: Counter = new Counter({
      ...own,
      name: 'process_cpu_seconds_total',
      help: 'Processor time of the server',
      collect: () => {
        const { user, system } = process.cpuUsage();
        cpu.reset();
        cpu.inc((user + system) / 1e6);
      },
    });
  }

  /** The text that Prometheus reads. Who asks while it is made gets the same. */
  text(): Promise<string> {
    this.#underWay ??= this.#measure().finally(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }

  async #measure(): Promise<string> {
    const regions = this.#regions();
    const samples = await Promise.all(
      regions.map(async (region) => {
        try {
          return { sample: await region.sample(), spaces: await region.spaces(false) };
        } catch {
          // It was closed meanwhile.
          return null;
        }
      }),
    );
    for (const metric of [...this.#gauges.values(), ...this.#counters.values()]) metric.reset();
    for (const [index, region] of regions.entries()) {
      const measured = samples[index];
      if (!measured) continue;
      this.#region(region, measured.sample);
      const labelled = (labels: Readonly<Record<string, string>>) => ({ region: region.name, ...labels });
      fillSpread(
        {
          set: (name, value, labels) => this.#gauges.get(name)!.set(labelled(labels), value),
          add: (name, value, labels) => this.#counters.get(name)!.inc(labelled(labels), value),
        },
        measured.spaces,
      );
    }
    return this.#registry.metrics();
  }

  #region({ name: region, counters }: Measured, sample: RegionSample): void {
    const set = (name: string, value: number, labels: Record<string, string> = {}): void =>
      this.#gauges.get(`ivshmem_${name}`)!.set({ region, ...labels }, value);
    const add = (name: string, value: number, labels: Record<string, string> = {}): void =>
      this.#counters.get(name)!.inc({ region, ...labels }, value);
    set('region_size_bytes', sample.sizeBytes);
    set('region_slots', sample.slots - 1);
    for (const state of ['joining', 'active', 'suspect', 'leaving']) {
      set('region_members', sample.members.filter((member) => member.state === state).length, { state });
    }
    set('region_channels', sample.channels.length);
    set('region_channel_entries', sample.channelEntries - 1);
    set('region_heap_bytes', sample.heapBytes);
    set('region_heap_free_bytes', sample.freeHeapBytes ?? 0);
    for (const what of COUNTED) {
      add(`ivshmem_region_${what}_total`, counters[what]);
    }
    for (const [reason, n] of Object.entries(counters.leaves))
      add('ivshmem_region_leaves_total', n, { reason });
    for (const [reason, n] of Object.entries(counters.refusals)) {
      add('ivshmem_region_refusals_total', n, { reason });
    }
    for (const [operation, statuses] of Object.entries(counters.requests)) {
      for (const [status, n] of Object.entries(statuses)) {
        add('ivshmem_region_requests_total', n, { operation, status });
      }
    }
    for (const member of sample.members) {
      if (member.state === 'joining') continue;
      const slot = String(member.slot);
      for (const name of STATISTICS) add(MEMBER_COUNTERS[name].name, member.statistics[name], { slot });
      const channels = sample.channels.filter(
        ({ connector, listener }) => connector === member.slot || listener === member.slot,
      );
      set('member_channels', channels.length, { slot });
      const { sharedMemory, tcp } = socketsOf(member.statistics);
      set('member_sockets', sharedMemory, { slot, path: 'shared-memory' });
      set('member_sockets', tcp, { slot, path: 'tcp' });
      set('member_answered', member.answered ? 1 : 0, { slot });
    }
  }

  #gauge(name: string, help: string, labels: readonly string[]): void {
    const labelNames = ['region', ...labels];
    this.#gauges.set(name, new Gauge({ name, help, labelNames, registers: [this.#registry] }));
  }

  #counter(name: string, help: string, labels: readonly string[]): void {
    const labelNames = ['region', ...labels];
    this.#counters.set(name, new Counter({ name, help, labelNames, registers: [this.#registry] }));
  }
}
