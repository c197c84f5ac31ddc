import { IvshmemError } from '../errors/index.ts';
import { MOST_WAITING } from './clients/entrance.ts';
import { MAX_REFUSED } from './clients/refused.ts';
import { parseConfig } from './config/config.ts';
import type { HostsConfig } from './config/hosts-schema.ts';
import type { RegionConfig, ServerConfigInput } from './config/schema.ts';
import { MAX_SESSIONS } from './control/control-socket.ts';
import type { ServerStatus } from './control/status.ts';
import { type Log, silentLog } from './log.ts';
import type { MetricsServer } from './metrics/metrics-server.ts';
import { type Credentials, ownDescriptorLimit } from './region/admission.ts';
import type { Keeper } from './restart/keeper.ts';
import { clientPart } from './restart/kept.ts';
import { type Prepared, prepare } from './serve/prepare.ts';
import { RegionServer } from './serve/region-server.ts';
import { type RegionSources, ServedRegion } from './serve/served-region.ts';

/** Descriptors for the program itself: the loop, logs; and per region memory, directory, journal and two listening sockets. */
const SPARE_DESCRIPTORS = 64;
const PER_REGION = 8;
/** And per region who waits at its entrance, and its operators; refused clients are watched, with a second descriptor each. */
const MOST_GUESTS = MOST_WAITING.all + MAX_SESSIONS + 2 * MAX_REFUSED;

/** How long the server before this one may take to let go of the metrics' address. */
const METRICS_PATIENCE_MS = 10_000;

export interface ServerOptions {
  /** Where to log; a pino logger, or nothing. */
  readonly log?: Log;
  /** Listening sockets made by others, by region name (systemd socket activation). */
  readonly sockets?: ReadonlyMap<string, number>;
  /** Who holds the descriptors while no server runs; without one the regions end with this process. */
  readonly keeper?: Keeper | null;
  /** What the keeper gave back, by kept name: regions that go on where the last server left them. Owned from now on. */
  readonly kept?: ReadonlyMap<string, number>;
  /** Takes all regions over from the running server, by their control sockets. */
  readonly replace?: boolean;
}

/** A running server. It keeps the process alive until closed. */
export class IvshmemServer {
  readonly #regions = new Set<ServedRegion>();
  #metrics: MetricsServer | null = null;
  #hosts: { close(): Promise<void> } | null = null;
  #closed = false;
  #ended: () => void = () => {};
  /** Resolves when the last region was closed or handed over. */
  readonly ended: Promise<void>;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.#ended = resolve;
    });
  }

  get regions(): readonly ServedRegion[] {
    return [...this.#regions];
  }

  status(): ServerStatus {
    return { regions: this.regions.map((region) => region.status()) };
  }

  /** Stops all regions. VMs keep running with the memory and doorbells they have. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    // First of all: who moves pages uses the memory.
    await this.leaveHosts();
    for (const region of this.#regions) region.close();
    this.#ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Port of the metrics; 0 when they are not served over TCP. */
  get metricsPort(): number {
    return this.#metrics?.port ?? 0;
  }

  /** Makes one region one of several hosts. For createServer. */
  async join(config: HostsConfig, log: Log): Promise<void> {
    const region = this.regions.find(({ name }) => config.region === undefined || name === config.region)!;
    region.hosting = {
      leave: async () => {
        region.server.spread = 'joining';
        await this.leaveHosts();
      },
      rejoin: () =>
        void this.#enter(config, region, log).catch((error) => {
          region.server.spread = null;
          log.error({ err: error }, 'this host is not among the others any more');
        }),
    };
    await this.#enter(config, region, log);
  }

  /** The other hosts need not wait for this one, whose regions stay. Resolves when nothing of it is mapped any more. Idempotent. */
  async leaveHosts(): Promise<void> {
    const hosts = this.#hosts;
    await hosts?.close();
    if (this.#hosts === hosts) this.#hosts = null;
  }

  async #enter(config: HostsConfig, region: ServedRegion, log: Log): Promise<void> {
    region.server.spread = 'joining';
    // Loaded on demand: most servers are alone.
    const { joinHosts } = await import('./hosts/hosts.ts');
    const hosts = await joinHosts(config, region.server.spreadRegion, log);
    if (this.#closed) return hosts.close();
    this.#hosts = hosts;
    region.server.spread = hosts;
  }

  /** Serves metrics of the regions as long as there is one. For createServer. Throws ERR_IVSHMEM_SERVER_METRICS. */
  async measure(on: string, log: Log, patienceMs = 0): Promise<void> {
    // Loaded on demand: most servers go without.
    const { ServerMetrics } = await import('./metrics/metrics.ts');
    const { MetricsServer } = await import('./metrics/metrics-server.ts');
    const metrics = new ServerMetrics(() => this.regions.map(({ server }) => server));
    const opened = await MetricsServer.open(on, metrics, log, patienceMs);
    this.#metrics = opened;
    void this.ended.then(() => opened.close());
  }

  /** Serves one more region. For createServer. */
  add({ config, sources, restored, made }: Prepared, log: Log): void {
    const own: Credentials = { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() };
    const { keeper } = sources;
    const start = ({ journal, memory, directory, eventfds, listener }: RegionSources): RegionServer =>
      new RegionServer(config, {
        memory,
        eventfds,
        listener,
        own,
        log,
        directory,
        journal,
        keeper: {
          keep: (slot, socket) => keeper.keep(clientPart(slot), socket),
          forget: (slot) => keeper.forget(clientPart(slot)),
        },
        restored,
      });
    const region = new ServedRegion(config.name, sources, log, start, (left) => {
      this.#regions.delete(left);
      if (this.#regions.size === 0) this.#ended();
    });
    this.#regions.add(region);
    region.keepAll(made);
  }
}

/**
 * Serves the regions of a configuration; resolves when all of them listen. When one cannot be served none is. Throws
 * ERR_IVSHMEM_SERVER_CONFIG, _FD_LIMIT, _MEMORY, _SOCKET, _SOCKET_BUSY, _ACTIVATION, _METRICS, _STATE or _HANDOVER.
 */
export async function createServer(
  input: ServerConfigInput,
  options: ServerOptions = {},
): Promise<IvshmemServer> {
  const { regions, metrics, hosts } = parseConfig(input, 'given to createServer');
  const { sockets = new Map<string, number>(), keeper = null, log = silentLog } = options;
  checkActivation(regions, sockets);
  checkDescriptors(regions);
  const server = new IvshmemServer();
  const goesOn = options.replace === true || (options.kept?.size ?? 0) > 0;
  if (metrics !== undefined && !goesOn) await server.measure(metrics, log);
  const prepared = await prepare(regions, {
    sockets,
    kept: options.kept ?? new Map(),
    keeper,
    log,
    replace: options.replace ?? false,
  }).catch(async (error: unknown) => {
    await server.close();
    throw error;
  });
  try {
    for (const one of prepared) server.add(one, log.child({ region: one.config.name }));
    if (hosts !== undefined) await server.join(hosts, log.child({ host: hosts.name }));
  } catch (error) {
    for (const one of prepared.slice(server.regions.length)) one.release();
    // What others keep goes on without this server; what is fresh was nobody's.
    const kept = new Set(
      prepared.flatMap(({ config, restored }) => (restored === null ? [] : [config.name])),
    );
    for (const region of server.regions) if (kept.has(region.name)) region.abandon();
    await server.close();
    throw error;
  }
  if (metrics !== undefined && goesOn) {
    // Members come first: what fails here is told, and that is all. The server before this one may still have the address.
    server
      .measure(metrics, log, METRICS_PATIENCE_MS)
      .catch((error) => log.error({ err: error }, 'no metrics'));
  }
  keeper?.ready();
  return server;
}

function checkActivation(regions: readonly RegionConfig[], sockets: ReadonlyMap<string, number>): void {
  for (const name of sockets.keys()) {
    if (!regions.some((region) => region.name === name)) {
      const why = `no region is named "${name}"`;
      throw new IvshmemError('ERR_IVSHMEM_SERVER_ACTIVATION', { why });
    }
  }
}

/** Every slot may have a client, and the watch of every client holds a second descriptor of its socket. */
function checkDescriptors(regions: readonly RegionConfig[]): void {
  const needed = regions.reduce(
    (sum, { slots, vectors }) => sum + slots * (vectors + 2) + MOST_GUESTS + PER_REGION,
    SPARE_DESCRIPTORS,
  );
  const limit = ownDescriptorLimit();
  if (needed > limit) throw new IvshmemError('ERR_IVSHMEM_SERVER_FD_LIMIT', { needed, limit });
}
