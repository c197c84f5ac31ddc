import { BlockList, isIP, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { plainAddress } from '../net/directory.ts';

/** How long the list of this machine's networks is good for, milliseconds. */
const FRESH_MS = 5000;

let networks = new BlockList();
let listedAt = Number.NEGATIVE_INFINITY;

/**
 * Whether an address is on one of this machine's own networks: who has it may be on the same host, now or after a migration, since
 * whoever migrates keeps its address and so its network.
 */
export function isNeighbour(address: string): boolean {
  const plain = plainAddress(address);
  if (isIP(plain) === 0) return plain === 'localhost';
  if (performance.now() - listedAt > FRESH_MS) list();
  return networks.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
}

function list(): void {
  networks = new BlockList();
  listedAt = performance.now();
  for (const each of Object.values(networkInterfaces()).flat()) {
    const [network, prefix] = (each?.cidr ?? '').split('/');
    if (each === undefined || prefix === undefined) continue;
    networks.addSubnet(network!, Number(prefix), each.family === 'IPv6' ? 'ipv6' : 'ipv4');
  }
}
