import { BlockList, isIP, SocketAddress } from 'node:net';
import { IvshmemError } from '../errors/index.ts';

/** Our addresses, and the networks in which a peer's addresses must be. */
export class TunAddresses {
  /** In canonical text, without prefix: at most one of each version. */
  readonly own: readonly string[];
  readonly #networks = new BlockList();

  /** @param given "10.77.0.1/24", "fd77::1/64". ERR_IVSHMEM_TUN_ADDRESS for what is none, or too much. */
  constructor(given: readonly string[]) {
    const refuse = (why: string): never => {
      throw new IvshmemError('ERR_IVSHMEM_TUN_ADDRESS', { addresses: given.join(' ') || '(none)', why });
    };
    const own: string[] = [];
    for (const text of given) {
      const [address = '', prefix = ''] = text.split('/', 2);
      const version = isIP(address);
      const bits = /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
      if (version === 0 || address.includes('%')) refuse(`${text} is not an address with a prefix length`);
      if (bits < 1 || bits > (version === 4 ? 32 : 128)) refuse(`${text} has no prefix length that fits`);
      if (own.some((other) => isIP(other) === version)) refuse(`there are two of IPv${version}`);
      if (unusable(address)) refuse(`${address} is no address of one host`);
      this.#networks.addSubnet(address, bits, version === 4 ? 'ipv4' : 'ipv6');
      own.push(canonical(address));
    }
    if (own.length === 0) refuse('there is none');
    this.own = own;
  }

  /** Those that a peer may have of the addresses it claims. */
  ofPeer(claimed: readonly string[]): string[] {
    return claimed.filter(
      (address) =>
        isIP(address) !== 0 &&
        canonical(address) === address &&
        !unusable(address) &&
        !this.own.includes(address) &&
        this.#networks.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6'),
    );
  }
}

/** One text for one address, so that texts can be compared. Scopes do not belong in it. */
function canonical(address: string): string {
  const family = isIP(address) === 4 ? 'ipv4' : 'ipv6';
  return address.includes('%') ? '' : new SocketAddress({ address, family }).address;
}

const NOBODYS = new BlockList();
NOBODYS.addSubnet('0.0.0.0', 8, 'ipv4');
NOBODYS.addSubnet('127.0.0.0', 8, 'ipv4');
NOBODYS.addSubnet('224.0.0.0', 3, 'ipv4');
NOBODYS.addSubnet('::', 127, 'ipv6');
NOBODYS.addSubnet('fe80::', 10, 'ipv6');
NOBODYS.addSubnet('ff00::', 8, 'ipv6');

/** Loopback, multicast, broadcast, link-local: nothing that a route to one host leads to. */
function unusable(address: string): boolean {
  return NOBODYS.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6') || address.startsWith('::ffff:');
}
