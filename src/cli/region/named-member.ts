import { InvalidArgumentError } from 'commander';
import type { ControlClient } from '../../host/control/control-client.ts';
import { plain } from '../table.ts';

/** Of a region whose server runs on this host. */
export const SOCKET_OPTION = [
  '--socket <path>',
  "the region's socket (default: IVSHMEM_SOCKET, else /run/ivshmem/default.sock)",
] as const;

export const MEMBER_ARGUMENT = ['<member>', 'its name, or its slot as a number'] as const;

/** Asks the server of a region about a member that was named on the command line. `socket`: the option, if it was given. */
export async function askAbout<T>(
  named: string,
  socket: string | undefined,
  ask: (client: ControlClient, member: string | number) => Promise<T>,
): Promise<T> {
  const { askServer } = await import('./ask-server.ts');
  if (named === '') throw new InvalidArgumentError('The name is empty.');
  return askServer(socket, (client) => ask(client, /^\d{1,9}$/.test(named) ? Number(named) : named));
}

/** A member as a sentence begins with it. */
export function called({ name, slot, epoch }: { name: string; slot: number; epoch: number }): string {
  return `${plain(name)} (slot ${slot}, epoch ${epoch})`;
}
