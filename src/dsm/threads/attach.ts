import { isMainThread } from 'node:worker_threads';
import { IvshmemError } from '../../errors/index.ts';
import { binding, type Mapping } from '../../native/binding.ts';
import { ThreadSeat } from '../../native/thread-binding.ts';
import { aliveIn } from '../attached-party.ts';
import { SYNC_BYTES } from '../sync/layout.ts';
import { Lives } from '../sync/lives.ts';
import { Synchronization } from '../sync/synchronization.ts';
import { AttachedSpace } from './attached-space.ts';
import { sitDown, takeSeat, wordsOfSeat } from './seat.ts';
import { type FilePart, isShare, type SpaceShare } from './share.ts';
import { ThreadParty } from './thread-party.ts';

export interface AttachOptions {
  /**
   * Whether the methods whose names end in Sync may block this thread. Default: in every thread but the main one, whose event loop would
   * stand still meanwhile.
   */
  readonly mayBlock?: boolean;
}

/** Those who wait with promises look again so often without being woken, milliseconds. */
const LOOK_AGAIN_MS = 500;

/**
 * Uses a space in this thread that another thread of this process has open, by what its `share()` returned: the same memory, mapped once
 * more, and the same named objects. This thread takes part in them by itself: it and the one that opened the space exclude each other, and
 * if it ends, what it holds passes on as abandoned. At most 255 slots and threads take part in a space.
 *
 * Errors: ERR_IVSHMEM_SHARE when the space is not open (any more), this is another process, or there are too many threads.
 */
export function attachSpace(
  share: SpaceShare,
  { mayBlock = !isMainThread }: AttachOptions = {},
): AttachedSpace {
  if (!isShare(share)) throw refused('a space', 'this is not what share() of a space returns');
  const native = open(share);
  const mappings: Mapping[] = [];
  const close = (): void => {
    native.close();
    for (const mapping of mappings) mapping.close();
  };
  const map = ({ offset, bytes }: FilePart): Mapping => {
    const mapping = binding.mapFile(native.file, offset, bytes, true);
    mappings.push(mapping);
    if (share.guard) mapping.guard();
    native.adopt(mapping);
    return mapping;
  };
  try {
    // Revoked in this order: who sees that its member is gone in the tables finds what it took meanwhile to be zeros (see `intact`).
    const [system, user, tables] = [map(share.system), map(share.user), map(share.tables)];
    const seat = sit(share, native, tables.buffer, system);
    const party = new ThreadParty(share, seat, tables.buffer, native, mayBlock);
    const gone = (): IvshmemError =>
      new IvshmemError('ERR_IVSHMEM_CLOSED', {
        operation: `use the space ${share.name}`,
        on: 'the region in the thread that opened it',
      });
    const fetch = async (): Promise<Disposable> => ({ [Symbol.dispose]: () => {} });
    const memory = { system: system.buffer, buffer: user.buffer, party };
    const moving = { gone, resident: () => true, readable: () => true, fetch };
    const synchronization = new Synchronization(memory, () => {}, LOOK_AGAIN_MS, moving);
    sitDown(synchronization.words, seat, share.member);
    synchronization.threads = party;
    return new AttachedSpace(share, { buffer: user.buffer, synchronization, party, native, close });
  } catch (cause) {
    close();
    if (cause instanceof IvshmemError) throw cause;
    throw refused(share.name, (cause as Error).message, cause);
  }
}

function open(share: SpaceShare): ThreadSeat {
  try {
    return new ThreadSeat(share.token);
  } catch (cause) {
    throw refused(share.name, 'it is not open in this process, or not any more', cause);
  }
}

function sit(share: SpaceShare, native: ThreadSeat, tables: ArrayBuffer, system: Mapping): number {
  const words = new Int32Array(system.buffer, 0, SYNC_BYTES / 4);
  const slots = new Int32Array(tables);
  const lookout = {
    ...{ slot: share.slot, epoch: 0 },
    alive: (slot: number, epoch: number) => aliveIn(slots, share, slot, epoch),
    notify: () => {},
    onWake: () => () => {},
  };
  const lives = new Lives(words, { system: system.buffer, buffer: system.buffer, party: lookout });
  const seat = takeSeat(words, share.slots, share.member, lives);
  if (seat < 0) throw refused(share.name, `${256 - share.slots} threads of all members use it`);
  // Before its life begins: whatever ends this thread from now on frees the seat.
  native.sit(seat, system, wordsOfSeat(seat));
  return seat;
}

export function refused(name: string, why: string, cause?: unknown): IvshmemError {
  return new IvshmemError('ERR_IVSHMEM_SHARE', { operation: `share ${name} with a thread`, why }, { cause });
}
