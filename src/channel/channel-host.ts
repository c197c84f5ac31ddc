/** What a channel needs of the region it belongs to. */
export interface ChannelHost {
  /** Marks this channel in the peer's pending words and rings if the peer sleeps. */
  notifyPeer(): void;
  /** Marks this channel in our own words: the loop comes back to it after the others. */
  postSelf(): void;
  /** Serves what is pending right now (used while busy-polling, when the loop does not run). */
  poll(): void;
  /** Somebody starts or stops waiting on this channel: the region's waiter runs while the sum is positive. */
  waiting(change: 1 | -1): void;
  /** From now on nobody who waits on this channel keeps the process alive. */
  unref(): void;
  /** Tells the server that this side is done. */
  release(): void;
}
