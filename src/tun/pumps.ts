import type { Channel, Region } from '../channel/index.ts';
import { IvshmemError } from '../errors/index.ts';
import { binding, type PacketCounters, type PacketPump } from '../native/binding.ts';
import type { TunQueue } from './interface.ts';
import type { TunOffer } from './offer.ts';
import { placeOf } from './place.ts';

/** The vector that a peer's first pump waits for: 0 is the event loop's. */
const FIRST_VECTOR = 1;

/** A channel that pumps use. */
export interface Attached {
  readonly pump: PacketPump;
  readonly id: number;
}

/** One pump for each queue of an interface. */
export class Pumps {
  readonly #region: Region;
  readonly #pumps: PacketPump[] = [];
  #nextId = 1;

  /**
   * Takes a vector of the device for each queue. ERR_IVSHMEM_TUN_DOORBELL when there are too few.
   * @param notice an eventfd, see PacketPumpOptions
   */
  constructor(
    region: Region,
    queues: readonly TunQueue[],
    options: { notice: number; spinNs: number; addresses: readonly string[] },
  ) {
    this.#region = region;
    const { device, header } = region;
    // A device without interrupts is polled, but its peers ring as many vectors.
    const vectors = device.vectors === 0 ? header.vectors : device.vectors;
    if (vectors < queues.length + FIRST_VECTOR) {
      const why = `it has ${vectors} vectors, and packets take ${queues.length} besides the first`;
      throw new IvshmemError('ERR_IVSHMEM_TUN_DOORBELL', {
        on: device.on,
        why,
        vectors: queues.length + FIRST_VECTOR,
      });
    }
    try {
      for (const [i, { in: tunIn, out: tunOut }] of queues.entries()) {
        const eventfd = device.vectors === 0 ? -1 : device.takeVector(FIRST_VECTOR + i);
        this.#pumps.push(new binding.PacketPump({ tunIn, tunOut, eventfd, ...options }));
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Attaches the channels with one peer: of each pair of queues of the two interfaces, as many as the one with more queues has. Both
   * sides serve the k-th with their queue k modulo their number, and send on the first of each queue: so packets of one queue stay in
   * order. The numbers of channels are the same on both sides, and give them their order. All or none.
   */
  attach(channels: readonly Channel[], peer: TunOffer & { name: string }): Attached[] {
    const { device } = this.#region;
    const attached: Attached[] = [];
    try {
      for (const [k, channel] of channels.toSorted((a, b) => a.number - b.number).entries()) {
        const doorbell = device.doorbell?.(channel.peer, FIRST_VECTOR + (k % peer.queues)) ?? null;
        if (doorbell === null) {
          const why = `the doorbell of ${peer.name} cannot be rung without the event loop`;
          throw new IvshmemError('ERR_IVSHMEM_TUN_DOORBELL', {
            on: device.on,
            why,
            vectors: peer.queues + FIRST_VECTOR,
          });
        }
        const pump = this.#pumps[k % this.#pumps.length]!;
        const id = this.#nextId++;
        pump.attach({
          ...placeOf(this.#region, channel),
          id,
          memory: device.memory,
          doorbell,
          addresses: peer.addresses,
          routed: k < this.#pumps.length,
        });
        attached.push({ pump, id });
      }
    } catch (error) {
      this.detach(attached);
      throw error;
    }
    return attached;
  }

  /** Their memory is not touched any more when this returns. */
  detach(attached: readonly Attached[]): void {
    for (const { pump, id } of attached) pump.detach(id);
  }

  /** Those whose peer broke the rules of the ring. */
  broken(): Attached[] {
    return this.#pumps.flatMap((pump) => pump.broken().map((id) => ({ pump, id })));
  }

  /** errno of the TUN device when it is of no use any more, else 0. */
  failure(): number {
    return this.#pumps.map((pump) => pump.failure()).find((errno) => errno !== 0) ?? 0;
  }

  /** Of all of them together. The last ones once closed. */
  counters(): PacketCounters {
    const each = this.#pumps.map((pump) => pump.counters());
    const names = Object.keys(each[0]!) as (keyof PacketCounters)[];
    const sums = names.map((name) => [name, each.reduce((sum, counters) => sum + counters[name], 0)]);
    return Object.fromEntries(sums) as PacketCounters;
  }

  /** Joins the threads. Idempotent. */
  close(): void {
    for (const pump of this.#pumps) pump.close();
  }
}
