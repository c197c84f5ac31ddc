import { existsSync } from 'node:fs';
import { controlPath } from '../../host/control/control-path.ts';
import type { EventReport, MembersReport, RegionSample, SpacesReport } from '../../observe/sample.ts';

/** Where the server of systemd/server.toml and the flags of docs/server.md listen. */
export const DEFAULT_SOCKET = '/run/ivshmem/default.sock';

/** The socket of a region whose server is asked: the option, if it was given, IVSHMEM_SOCKET, the usual place. */
export const serverSocket = (given: string | undefined): string =>
  given ?? (process.env.IVSHMEM_SOCKET || DEFAULT_SOCKET);

/** The members first, and again when events were missed; else what happened. */
export type Update = ({ readonly event: 'members' } & MembersReport) | EventReport;

/** A region as a command sees it. */
export interface Source {
  /** What the user should know about where this comes from. */
  readonly note: string | null;
  members(): Promise<MembersReport>;
  /** Ends with close(). */
  updates(): AsyncIterable<Update>;
  sample(): Promise<RegionSample>;
  spaces(): Promise<SpacesReport>;
  close(): void;
}

export interface Place {
  readonly socket?: string;
  /** Of a device, where there are several. */
  readonly device?: string;
}

/**
 * Asks the server where there is one: the socket given, IVSHMEM_SOCKET, the usual place. Otherwise looks into the ivshmem device
 * of this machine.
 */
export async function openSource({ socket, device }: Place): Promise<Source> {
  const given = socket ?? (device === undefined ? process.env.IVSHMEM_SOCKET || undefined : undefined);
  if (given === undefined && (device !== undefined || !existsSync(controlPath(DEFAULT_SOCKET)))) {
    const { openDeviceSource } = await import('./device-source.ts');
    const found = await openDeviceSource(device);
    if (found !== null) return found;
  }
  const { ServerSource } = await import('./server-source.ts');
  return ServerSource.connect(controlPath(given ?? DEFAULT_SOCKET));
}
