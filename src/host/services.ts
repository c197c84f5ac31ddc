/** A member's offer to accept channels for a service. */
export interface ServiceListener {
  readonly id: number;
  readonly slot: number;
  readonly service: string;
}

const MAX_ID = 0x7fffffff;

/** Who listens to what. One member listens to a service once; several members may listen to the same one. */
export class Services {
  readonly #byId = new Map<number, ServiceListener>();
  readonly #byService = new Map<string, ServiceListener[]>();
  #nextId = 1;

  /** Null when this slot listens to the service already. */
  add(slot: number, service: string): ServiceListener | null {
    const same = this.#byService.get(service) ?? [];
    if (same.some((listener) => listener.slot === slot)) return null;
    while (this.#byId.has(this.#nextId)) this.#advance();
    const listener = { id: this.#nextId, slot, service };
    this.#advance();
    this.#byId.set(listener.id, listener);
    same.push(listener);
    this.#byService.set(service, same);
    return listener;
  }

  /** Removes a listener of this slot; false when it has none by that ID. */
  remove(slot: number, id: number): boolean {
    const listener = this.#byId.get(id);
    if (listener === undefined || listener.slot !== slot) return false;
    this.#byId.delete(id);
    const same = this.#byService.get(listener.service)!;
    same.splice(same.indexOf(listener), 1);
    if (same.length === 0) this.#byService.delete(listener.service);
    return true;
  }

  removeAll(slot: number): void {
    for (const listener of [...this.#byId.values()]) {
      if (listener.slot === slot) this.remove(slot, listener.id);
    }
  }

  count(slot: number): number {
    let count = 0;
    for (const listener of this.#byId.values()) if (listener.slot === slot) count++;
    return count;
  }

  /**
   * The listener that a connector gets: the one of `peer`, or without a peer each in turn, never the connector itself.
   */
  choose(service: string, connector: number, peer: number | null): ServiceListener | null {
    const same = this.#byService.get(service);
    const at = same?.findIndex((l) => l.slot !== connector && (peer === null || l.slot === peer)) ?? -1;
    if (same === undefined || at < 0) return null;
    const listener = same[at]!;
    // To the end: the next connector gets another one.
    same.splice(at, 1);
    same.push(listener);
    return listener;
  }

  #advance(): void {
    this.#nextId = this.#nextId === MAX_ID ? 1 : this.#nextId + 1;
  }
}
