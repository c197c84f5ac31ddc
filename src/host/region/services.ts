import { type ListenerRecord, listenerKey } from '../records/records.ts';
import type { Transaction } from '../records/transaction.ts';

/** A member's offer to accept channels for a service. */
export type ServiceListener = Readonly<ListenerRecord>;

const MAX_ID = 0x7fffffff;

/** Who listens to what. One member listens to a service once; several members may listen to the same one. */
export class Services {
  readonly #byId = new Map<number, ServiceListener>();
  readonly #byService = new Map<string, ServiceListener[]>();
  readonly #bySlot = new Map<number, Set<ServiceListener>>();
  #nextId = 1;

  /** As they were. Throws a RangeError when two have one ID, or one slot listens to a service twice. */
  static restore(records: readonly ListenerRecord[], nextId: number): Services {
    const services = new Services();
    for (const listener of records) {
      const same = services.#byService.get(listener.service) ?? [];
      if (services.#byId.has(listener.id) || same.some(({ slot }) => slot === listener.slot)) {
        throw new RangeError(`listener ${listener.id} is there twice`);
      }
      services.#enter(listener);
    }
    services.#nextId = nextId;
    return services;
  }

  /** The ID that the next listener gets unless it is taken. */
  get nextId(): number {
    return this.#nextId;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Null when this slot listens to the service already. */
  add(tx: Transaction, slot: number, service: string): ServiceListener | null {
    const same = this.#byService.get(service) ?? [];
    if (same.some((listener) => listener.slot === slot)) return null;
    while (this.#byId.has(this.#nextId)) this.#advance();
    const listener = { id: this.#nextId, slot, service };
    this.#advance();
    this.#enter(listener);
    tx.put(listenerKey(listener.id), listener);
    return listener;
  }

  /** Removes a listener of this slot; false when it has none by that ID. */
  remove(tx: Transaction, slot: number, id: number): boolean {
    const listener = this.#byId.get(id);
    if (listener === undefined || listener.slot !== slot) return false;
    this.#byId.delete(id);
    this.#bySlot.get(slot)!.delete(listener);
    tx.put(listenerKey(id), null);
    const same = this.#byService.get(listener.service)!;
    same.splice(same.indexOf(listener), 1);
    if (same.length === 0) this.#byService.delete(listener.service);
    return true;
  }

  removeAll(tx: Transaction, slot: number): void {
    for (const { id } of this.of(slot)) this.remove(tx, slot, id);
  }

  /** The listeners of a slot, oldest first. */
  of(slot: number): ServiceListener[] {
    return [...(this.#bySlot.get(slot) ?? [])];
  }

  count(slot: number): number {
    return this.#bySlot.get(slot)?.size ?? 0;
  }

  /**
   * The listener that a connector gets: the one of `peer`, or without a peer each in turn, never the connector itself nor
   * one of a slot that `accepts` refuses.
   */
  choose(
    service: string,
    connector: number,
    peer: number | null,
    accepts: (slot: number) => boolean = () => true,
  ): ServiceListener | null {
    const same = this.#byService.get(service);
    const fits = ({ slot }: ServiceListener): boolean =>
      slot !== connector && (peer === null || slot === peer) && accepts(slot);
    const at = same?.findIndex(fits) ?? -1;
    if (same === undefined || at < 0) return null;
    const listener = same[at]!;
    // To the end: the next connector gets another one.
    same.splice(at, 1);
    same.push(listener);
    return listener;
  }

  #enter(listener: ServiceListener): void {
    this.#byId.set(listener.id, listener);
    const own = this.#bySlot.get(listener.slot) ?? new Set();
    this.#bySlot.set(listener.slot, own.add(listener));
    const same = this.#byService.get(listener.service);
    if (same === undefined) this.#byService.set(listener.service, [listener]);
    else same.push(listener);
  }

  #advance(): void {
    this.#nextId = this.#nextId === MAX_ID ? 1 : this.#nextId + 1;
  }
}
