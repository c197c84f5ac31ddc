import { IvshmemError } from '../../errors/index.ts';
import { hostsBinding, type NodeEngine } from '../../native/hosts-binding.ts';
import { type HostsConfig, splitAddress } from '../config/hosts-schema.ts';
import type { Log } from '../log.ts';
import type { Directory } from './directory.ts';
import { EtcdClient } from './etcd-client.ts';
import { EtcdDirectory } from './etcd-directory.ts';
import { type HostIdentity, readIdentity } from './identity.ts';
import { fenceMs, leftBehindMs } from './lease.ts';
import { RegionHosts } from './region-hosts.ts';
import { retire } from './retire.ts';
import type { SpreadRegion } from './spread-region.ts';
import { StateFile } from './state-file.ts';
import { StaticDirectory } from './static-directory.ts';

/**
 * Makes a region one of several hosts. Rejects with ERR_IVSHMEM_HOSTS_IDENTITY, _STATE, _ETCD or _ADDRESS, ERR_IVSHMEM_ADDON_ABSENT,
 * ERR_IVSHMEM_SERVER_CONFIG.
 */
export async function joinHosts(config: HostsConfig, region: SpreadRegion, log: Log): Promise<RegionHosts> {
  const identity = readIdentity(config, config.name);
  const native = hostsBinding();
  if (region.spaces === null || region.vectors < 2) {
    const why = `region ${region.name} ${region.spaces === null ? 'was made by an older server, without spaces' : 'has one vector, and spread spaces need two'}`;
    throw new IvshmemError('ERR_IVSHMEM_SERVER_CONFIG', { on: 'of [hosts]', why });
  }
  let engine: NodeEngine | null = null;
  let hosts: RegionHosts | null = null;
  const directory = await openDirectory(config, identity, (node, text) => engine!.tell(node, text), log);
  try {
    engine = new native.NodeEngine({
      memory: { fd: region.memory.fd, bytes: region.memory.buffer.byteLength },
      bell: region.eventfd(0, native.abi.nodeVector!),
      slots: region.slots,
      node: directory.node,
      cluster: config.cluster,
      identity,
      patienceMs: config.lease * 1000,
      onEvent: (event) => hosts?.event(event),
    });
    listen(engine, config.listen);
    const { leastBytes: least } = native;
    const { unclean } = directory;
    const retired = retire(region, native, { unclean, ms: leftBehindMs(directory.leaseMs) });
    hosts = new RegionHosts({ region, engine, least, directory, retired, share: config.share, log });
    return hosts;
  } catch (error) {
    // What an earlier life left behind was not waited for.
    await directory.close(!directory.unclean);
    engine?.close();
    throw error;
  }
}

function listen(engine: NodeEngine, on: string): void {
  const { address, port } = splitAddress(on);
  try {
    engine.listen(address, port);
  } catch (cause) {
    const why = (cause as Error).message;
    throw new IvshmemError('ERR_IVSHMEM_HOSTS_ADDRESS', { on, why }, { cause });
  }
}

async function openDirectory(
  config: HostsConfig,
  identity: HostIdentity,
  tell: (node: number, text: string) => boolean,
  log: Log,
): Promise<Directory> {
  const { name, cluster, etcd, peers = {}, state } = config;
  const leaseMs = config.lease * 1000;
  const address = config.address ?? config.listen;
  if (etcd !== undefined) {
    const client = new EtcdClient(etcd, identity, leaseMs / 6);
    return EtcdDirectory.open({
      client,
      prefix: `/ivshmem/${encodeURIComponent(cluster)}/`,
      name,
      address,
      leaseMs,
      fenceMs: fenceMs(leaseMs),
      tell,
      log,
    });
  }
  const hosts = Object.entries({ ...peers, [name]: address })
    .map(([host, at]) => ({ name: host, address: at }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const store = new StateFile(
    state!,
    hosts.map((host) => host.name),
    name,
  );
  return new StaticDirectory({ hosts, self: name, leaseMs, fenceMs: fenceMs(leaseMs), store, tell, log });
}
