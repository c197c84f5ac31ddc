import type { SpacesReport } from '../../observe/sample.ts';

type Labels = Readonly<Record<string, string>>;

/** What makes the metrics of ServerMetrics; every one has the label `region`. */
export interface Maker {
  gauge(name: string, help: string, labels: readonly string[]): void;
  counter(name: string, help: string, labels: readonly string[]): void;
}

/** What fills them. */
export interface Filler {
  set(name: string, value: number, labels: Labels): void;
  add(name: string, value: number, labels: Labels): void;
}

const STATES = ['joining', 'serving', 'fencing', 'closed'] as const;

/** Of spaces that spread over hosts: what this host has of them. Told apart by their place in the table, for names are what members choose. */
export function defineSpread({ gauge, counter }: Maker): void {
  const space = ['space'];
  gauge('ivshmem_dsm_host_state', '1: the state this host has among the others', ['state']);
  gauge('ivshmem_dsm_directory_trouble', '1: nothing can be decided at present', []);
  gauge('ivshmem_dsm_directory_away', '1: the service of the directory does not answer', []);
  gauge('ivshmem_dsm_view_epoch', 'Number of the view', []);
  gauge('ivshmem_dsm_view_hosts', 'Hosts of the view', []);
  gauge('ivshmem_dsm_peer_up', '1: connected with the other host', ['host']);
  gauge('ivshmem_dsm_peer_waiting_bytes', 'Bytes that the other host has not taken yet', ['host']);
  counter('ivshmem_dsm_peer_bytes_total', 'Bytes exchanged on the connection that is open', [
    'host',
    'direction',
  ]);
  gauge('ivshmem_dsm_pages', 'Pages by what this host has of them', [...space, 'state']);
  gauge('ivshmem_dsm_frames', 'Frames for pages whose home is elsewhere', [...space, 'state']);
  gauge('ivshmem_dsm_members', 'Members here that have the space open', space);
  counter('ivshmem_dsm_faults_total', 'Pages that members asked for, by where they came from', [
    ...space,
    'from',
  ]);
  counter('ivshmem_dsm_failures_total', 'Pages that members asked for and did not get', space);
  counter('ivshmem_dsm_evictions_total', 'Pages given up for want of room', space);
  counter('ivshmem_dsm_moved_bytes_total', 'Bytes of pages that came to this host or left it', [
    ...space,
    'direction',
  ]);
}

export function fillSpread({ set, add }: Filler, { spaces, hosts }: SpacesReport): void {
  if (hosts === undefined) return;
  for (const state of STATES) set('ivshmem_dsm_host_state', hosts.state === state ? 1 : 0, { state });
  set('ivshmem_dsm_directory_trouble', hosts.trouble === null ? 0 : 1, {});
  set('ivshmem_dsm_directory_away', hosts.awaySince === null ? 0 : 1, {});
  set('ivshmem_dsm_view_epoch', hosts.epoch, {});
  set('ivshmem_dsm_view_hosts', hosts.hosts.length, {});
  for (const { name: host, up, bytesIn, bytesOut, waiting } of hosts.hosts) {
    if (host === hosts.host) continue;
    set('ivshmem_dsm_peer_up', up ? 1 : 0, { host });
    set('ivshmem_dsm_peer_waiting_bytes', waiting, { host });
    add('ivshmem_dsm_peer_bytes_total', bytesIn, { host, direction: 'in' });
    add('ivshmem_dsm_peer_bytes_total', bytesOut, { host, direction: 'out' });
  }
  for (const { spread } of spaces) {
    const here = spread?.hosts[0];
    if (spread === undefined || here === undefined) continue;
    const space = String(spread.number);
    for (const state of ['home', 'kept', 'missing', 'writable', 'readable', 'lost'] as const)
      set('ivshmem_dsm_pages', here[state], { space, state });
    set('ivshmem_dsm_frames', here.frames - here.framesFree, { space, state: 'used' });
    set('ivshmem_dsm_frames', here.framesFree, { space, state: 'free' });
    set('ivshmem_dsm_members', here.members, { space });
    add('ivshmem_dsm_faults_total', here.faultsLocal, { space, from: 'here' });
    add('ivshmem_dsm_faults_total', here.faultsRemote, { space, from: 'elsewhere' });
    add('ivshmem_dsm_failures_total', here.failed, { space });
    add('ivshmem_dsm_evictions_total', here.evictions, { space });
    add('ivshmem_dsm_moved_bytes_total', here.pagesIn * spread.pageBytes, { space, direction: 'in' });
    add('ivshmem_dsm_moved_bytes_total', here.pagesOut * spread.pageBytes, { space, direction: 'out' });
  }
}
