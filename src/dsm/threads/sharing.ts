import { randomBytes } from 'node:crypto';
import type { Attachment } from '../../membership/index.ts';
import { PAGE_BYTES } from '../../memory/layout.ts';
import { binding, type FdWatch } from '../../native/binding.ts';
import { ThreadShare } from '../../native/thread-binding.ts';
import type { Synchronization, Threads } from '../sync/synchronization.ts';
import type { SpaceShare } from './share.ts';

/** What a space is, for those who share it. */
export interface SharedSpace {
  readonly name: string;
  readonly created: boolean;
  readonly persistent: boolean;
  readonly attachment: Attachment;
  /** Of its system part in the region, bytes; its user part follows. */
  readonly at: number;
  readonly systemBytes: number;
  readonly bytes: number;
}

const NOTIFY_VECTOR = 0;

/** A space that other threads of this process use too: the side of the thread that opened it. */
export class Sharing implements Threads {
  readonly share: SpaceShare;
  /** This thread hears of doorbells: it must not be blocked. */
  readonly sleep = null;
  readonly #native: ThreadShare;
  readonly #watch: FdWatch;
  readonly #forget: () => void;
  readonly #stops: (() => void)[];

  /** Fails as the kernel does, or when the device cannot map a part of its memory. */
  constructor(space: SharedSpace, synchronization: Synchronization) {
    const { name, created, persistent, attachment, at, systemBytes, bytes } = space;
    const { device, header, slot } = attachment;
    if (device.mapWith === undefined) throw new Error('this device cannot map a part of its memory');
    const token = randomBytes(16).toString('hex');
    let start = 0;
    let native: ThreadShare | undefined;
    this.#forget = device.mapWith((file) => {
      native = new ThreadShare(token, file.fd, attachment.bell);
      start = file.offset;
      return { revoke: () => this.close(), close: () => this.close() };
    });
    this.#native = native!;
    this.share = {
      ...{ ivshmem: 'space', token, name, created, persistent },
      ...{ slot, member: synchronization.lives.token, slots: header.slots },
      ...{ slotTablePage: header.slotTablePage, memberPage: header.memberPage },
      guard: device.kind === 'uio',
      polled: attachment.bell < 0,
      tables: { offset: start, bytes: header.heapPage * PAGE_BYTES },
      system: { offset: start + at, bytes: systemBytes },
      user: { offset: start + at + systemBytes, bytes },
    };
    this.#watch = new binding.FdWatch(this.#native.home, () => {
      // Both marks have to be looked at: who wakes this thread and who ends say so in the same place.
      if (this.#native.heard() > 0) synchronization.lookEverywhere();
      else synchronization.look();
    });
    this.#watch.start(true, false);
    const ring = (peer: number): void => {
      if (peer < header.slots) this.#native.setDoorbell(peer, device.doorbell?.(peer, NOTIFY_VECTOR) ?? null);
    };
    for (let peer = 0; peer < header.slots; peer++) ring(peer);
    this.#stops = [
      device.onDoorbell?.(ring) ?? (() => {}),
      // Whoever is woken in another member's behalf, and all who may have waited for somebody who left.
      synchronization.party.onWake(() => this.#native.wakeAll()),
    ];
    synchronization.threads = this;
  }

  wake(seat: number): void {
    this.#native.wake(seat);
  }

  /** What other threads have of the space shows zeros when this returns. Idempotent. */
  close(): void {
    for (const stop of this.#stops.splice(0)) stop();
    this.#forget();
    this.#watch.close();
    this.#native.close();
  }
}
