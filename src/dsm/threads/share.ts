/**
 * What another thread of this process needs to use an open space: plain data, for postMessage and workerData. Of no use to another process,
 * and once the space was closed.
 */
export interface SpaceShare {
  readonly ivshmem: 'space';
  readonly token: string;
  readonly name: string;
  readonly created: boolean;
  readonly persistent: boolean;
  /** Of the member: its slot, and its token in the space. */
  readonly slot: number;
  readonly member: number;
  readonly slots: number;
  readonly slotTablePage: number;
  readonly memberPage: number;
  /** Whether the memory can go away without a warning. */
  readonly guard: boolean;
  /** The device has no interrupts: nobody rings a thread that sleeps. */
  readonly polled: boolean;
  /** Parts of the file, bytes: the tables of the region, the two parts of the space. */
  readonly tables: FilePart;
  readonly system: FilePart;
  readonly user: FilePart;
}

export interface FilePart {
  readonly offset: number;
  readonly bytes: number;
}

export function isShare(value: unknown): value is SpaceShare {
  return typeof value === 'object' && value !== null && (value as Partial<SpaceShare>).ivshmem === 'space';
}
