import { closeSync } from 'node:fs';
import { IvshmemError } from '../errors/index.ts';
import { binding } from '../native/binding.ts';
import { type Credentials, ownDescriptorLimit } from './admission.ts';
import { parseConfig } from './config.ts';
import { activated, type Listener, listen } from './listener.ts';
import { type Log, silentLog } from './log.ts';
import { openMemory } from './memory-source.ts';
import { MAX_REFUSED } from './refused.ts';
import { RegionServer } from './region-server.ts';
import type { RegionConfig, ServerConfigInput } from './schema.ts';
import type { ServerStatus } from './status.ts';

/** Descriptors for the program itself: the loop, logs, one memory and one listening socket per region. */
const SPARE_DESCRIPTORS = 64;

export interface ServerOptions {
  /** Where to log; a pino logger, or nothing. */
  readonly log?: Log;
  /** Listening sockets made by others, by region name (systemd socket activation). */
  readonly sockets?: ReadonlyMap<string, number>;
}

/** A running server. It keeps the process alive until closed. */
export class IvshmemServer {
  readonly #regions: readonly RegionServer[];

  constructor(regions: readonly RegionServer[]) {
    this.#regions = regions;
  }

  status(): ServerStatus {
    return { regions: this.#regions.map((region) => region.status()) };
  }

  /** Stops all regions. VMs keep running with the memory and doorbells they have. Idempotent. */
  async close(): Promise<void> {
    for (const region of this.#regions) region.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Serves the regions of a configuration; resolves when all of them listen. When one cannot be served none is.
 * Throws ERR_IVSHMEM_SERVER_CONFIG, _FD_LIMIT, _MEMORY, _SOCKET, _SOCKET_BUSY or _ACTIVATION.
 */
export async function createServer(
  input: ServerConfigInput,
  options: ServerOptions = {},
): Promise<IvshmemServer> {
  const { regions } = parseConfig(input, 'given to createServer');
  const sockets = options.sockets ?? new Map<string, number>();
  checkActivation(regions, sockets);
  checkDescriptors(regions);
  const log = options.log ?? silentLog;
  const own = { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() };
  const opened: RegionServer[] = [];
  try {
    for (const region of regions) {
      opened.push(openRegion(region, sockets.get(region.name), own, log.child({ region: region.name })));
    }
  } catch (error) {
    for (const region of opened) region.close();
    throw error;
  }
  return new IvshmemServer(opened);
}

/** The socket comes first: while another server owns it, its memory file is not to be touched either. */
function openRegion(
  config: RegionConfig,
  passed: number | undefined,
  own: Credentials,
  log: Log,
): RegionServer {
  const undo: (() => void)[] = [];
  try {
    const listener = openListener(config, passed);
    undo.push(() => listener.close());
    const memory = openMemory(config);
    undo.push(() => memory.close());
    const eventfds: number[][] = [];
    undo.push(() => {
      for (const fd of eventfds.flat()) closeSync(fd);
    });
    for (let slot = 0; slot < config.slots; slot++) {
      const vectors: number[] = [];
      eventfds.push(vectors);
      for (let vector = 0; vector < config.vectors; vector++) vectors.push(binding.eventfdCreate());
    }
    return new RegionServer(config, { memory, eventfds, listener, own, log });
  } catch (error) {
    for (const step of undo.reverse()) step();
    throw error;
  }
}

function openListener(config: RegionConfig, passed: number | undefined): Listener {
  if (passed !== undefined) return activated(passed, config.name);
  if (config.socket !== undefined) return listen(config.socket, config.mode, config.group);
  const why = `region ${config.name} has no socket, and systemd passed none of that name`;
  throw new IvshmemError('ERR_IVSHMEM_SERVER_CONFIG', { on: `of region ${config.name}`, why });
}

function checkActivation(regions: readonly RegionConfig[], sockets: ReadonlyMap<string, number>): void {
  for (const name of sockets.keys()) {
    if (!regions.some((region) => region.name === name)) {
      const why = `no region is named "${name}"`;
      throw new IvshmemError('ERR_IVSHMEM_SERVER_ACTIVATION', { why });
    }
  }
}

/** Every slot may have a client, and the watch of every client, refused ones too, holds a second descriptor of its socket. */
function checkDescriptors(regions: readonly RegionConfig[]): void {
  const needed = regions.reduce(
    (sum, { slots, vectors }) => sum + slots * (vectors + 2) + 2 * MAX_REFUSED,
    SPARE_DESCRIPTORS,
  );
  const limit = ownDescriptorLimit();
  if (needed > limit) throw new IvshmemError('ERR_IVSHMEM_SERVER_FD_LIMIT', { needed, limit });
}
