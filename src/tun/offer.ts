/** More queues than a TUN device is opened with here, or a peer may ask channels for. */
export const MOST_QUEUES = 16;

const SERVICE = 'tun:';

/** What an interface tells the others of itself, by the name of its service: `tun:10.77.0.1,fd77::1,4u`. */
export interface TunOffer {
  readonly addresses: readonly string[];
  /** It has a thread and a doorbell vector (from 1 on) for each. */
  readonly queues: number;
  /** Whether its kernel takes UDP in large packets (VIRTIO_NET_HDR_GSO_UDP_L4). */
  readonly udpSegmentation: boolean;
}

export function serviceName({ addresses, queues, udpSegmentation }: TunOffer): string {
  return `${SERVICE}${[...addresses, `${queues}${udpSegmentation ? 'u' : ''}`].join(',')}`;
}

/** What the name of a peer's service says, its addresses unjudged; null when it is not the service of an interface. */
export function readOffer(service: string): TunOffer | null {
  if (!service.startsWith(SERVICE)) return null;
  const words = service.slice(SERVICE.length).split(',');
  const [, digits, uso] = /^(\d{1,2})(u?)$/.exec(words.at(-1)!) ?? [];
  const queues = digits === undefined ? 1 : Number(digits);
  if (queues < 1 || queues > MOST_QUEUES) return null;
  return {
    addresses: digits === undefined ? words : words.slice(0, -1),
    queues,
    udpSegmentation: uso === 'u',
  };
}
