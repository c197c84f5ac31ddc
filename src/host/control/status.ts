/** One client of a region. */
export interface MemberStatus {
  readonly slot: number;
  readonly epoch: number;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** Empty until a driver says HELLO. */
  readonly name: string;
  readonly attached: boolean;
  /** Thrown out; its client still holds the slot. */
  readonly evicted: boolean;
  readonly channels: number;
  /** Messages of the handshake that the client has not taken. */
  readonly unsentMessages: number;
}

export interface RegionStatus {
  readonly name: string;
  readonly socket: string;
  readonly sizeBytes: number;
  /** The server's own included. */
  readonly slots: number;
  /** Open channels. */
  readonly channels: number;
  readonly freeHeapBytes: number;
  readonly members: readonly MemberStatus[];
}

export interface ServerStatus {
  readonly regions: readonly RegionStatus[];
}
