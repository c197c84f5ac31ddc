import { isIPv4, isIPv6 } from 'node:net';
import type { Member, Membership } from '../membership/index.ts';

/** Who can be offered a connection to one address and port, and who may offer one from an address. */
export class Directory {
  readonly #members: Membership;
  /** `address port` -> members that listen there, as of #view. */
  #listening = new Map<string, Member[]>();
  /** Ports that anybody listens to, and addresses that anybody has. */
  readonly #ports = new Set<number>();
  readonly #addresses = new Set<string>();
  #view = -1;

  constructor(members: Membership) {
    this.#members = members;
  }

  /** Members whose listener has that address and port, this one excluded; none that is leaving or suspect, nor any while this one is leaving. */
  listenersAt(address: string, port: number): readonly Member[] {
    if (this.#members.self?.state === 'leaving') return [];
    if (this.#members.view !== this.#view) this.#index();
    return this.#listening.get(`${plainAddress(address)} ${port}`) ?? [];
  }

  /** Whether anybody else listens to a port, at whatever address: for who knows only a host's name. */
  anybodyListens(port: number): boolean {
    if (this.#members.view !== this.#view) this.#index();
    return this.#ports.has(port);
  }

  /** Whether anybody else has that address. */
  anybodyAt(address: string): boolean {
    if (this.#members.view !== this.#view) this.#index();
    return this.#addresses.has(plainAddress(address));
  }

  /** Whether the member in a slot is active, and `address` one of its. */
  owns(slot: number, address: string): boolean {
    const member = this.#members.get(slot);
    return member?.state === 'active' && this.#addressesOf(member).includes(plainAddress(address));
  }

  #index(): void {
    this.#view = this.#members.view;
    this.#listening = new Map();
    this.#ports.clear();
    this.#addresses.clear();
    const self = this.#members.self?.slot;
    for (const member of this.#members.list()) {
      if (member.slot === self || member.state !== 'active') continue;
      const own = this.#addressesOf(member);
      for (const address of own) this.#addresses.add(address);
      for (const service of member.listeners) {
        const place = parseService(service);
        if (place === null) continue;
        this.#ports.add(place.port);
        for (const address of place.address === null ? own : own.filter((each) => each === place.address)) {
          const key = `${address} ${place.port}`;
          this.#listening.set(key, [...(this.#listening.get(key) ?? []), member]);
        }
      }
    }
  }

  /** What it says, and loopback where both of us are processes of the host: another network namespace has no such connection. */
  #addressesOf(member: Member): string[] {
    const local = member.backend === 'host' && this.#members.self?.backend === 'host';
    return [...member.addresses.map(plainAddress), ...(local ? ['127.0.0.1', '::1'] : [])];
  }
}

/** Names one life of a slot. */
export const lifeOf = ({ slot, epoch }: Member): string => `${slot} ${epoch}`;

/** One spelling for one address: IPv4 in IPv6 is IPv4, zones are left out. */
export function plainAddress(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1]!;
  return isIPv4(address) ? address : (address.split('%')[0] as string).toLowerCase();
}

/** The name under which a listener is advertised: `tcp:<port>`, with the address where it has one of its own. */
export function serviceOf(address: string, port: number): string {
  const every = address === '::' || address === '0.0.0.0';
  return every ? `tcp:${port}` : `tcp:${plainAddress(address)}:${port}`;
}

function parseService(service: string): { address: string | null; port: number } | null {
  const found = /^tcp:(?:([0-9a-f.:]+):)?(\d{1,5})$/.exec(service);
  if (!found) return null;
  const [, address, port] = found;
  if (address !== undefined && !isIPv4(address) && !isIPv6(address)) return null;
  return { address: address ?? null, port: Number(port) };
}
