/**
 * One buffer taken by the device role: private copies of its descriptors, already checked against the queue's bounds.
 * Reused between calls; `addrs[0]`, `lens[0]` also stand in `addr` and `len` for the one-descriptor case.
 */
export class DescriptorChain {
  /** Buffer ID without the tag. */
  id = 0;
  /** Bit 15 of the ID. */
  tag = 0;
  /** Elements: descriptors of the chain, or of the indirect table. */
  count = 0;
  addr = 0;
  len = 0;
  /** Ring descriptors it occupies: 1 for an indirect table. */
  descriptors = 0;
  readonly addrs: Float64Array;
  readonly lens: Uint32Array;
  /** 1 where the device may write. */
  readonly writable: Uint8Array;

  /** Room for `capacity` elements; a longer chain breaks the queue. */
  constructor(capacity: number) {
    this.addrs = new Float64Array(capacity);
    this.lens = new Uint32Array(capacity);
    this.writable = new Uint8Array(capacity);
  }
}
