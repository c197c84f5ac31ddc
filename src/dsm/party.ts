/** Who takes part in a space, as synchronization sees it. */
export interface Party {
  readonly slot: number;
  readonly epoch: number;
  /** Whether that member is (still) here. */
  alive(slot: number, epoch: number): boolean;
  /**
   * Wakes the member in a slot: it looks at all it waits for again. `urgent`: one of its threads waits, which may sleep while its event loop
   * is busy.
   */
  notify(slot: number, urgent?: boolean): void;
  /** Called when this member was notified, or any member left. Returns how to stop. */
  onWake(callback: () => void): () => void;
}

/** The two mappings of a space, and who takes part in it. `system` is written by synchronization alone. */
export interface SpaceMemory {
  readonly system: ArrayBuffer;
  readonly buffer: ArrayBuffer;
  readonly party: Party;
}
