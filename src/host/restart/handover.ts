import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { IvshmemError } from '../../errors/index.ts';
import { binding } from '../../native/binding.ts';
import { Acceptor } from '../sockets/acceptor.ts';
import { Link } from '../sockets/link.ts';
import { type AskHandover, askHandover } from './ask-handover.ts';
import { Parcel, sendParcel, trusts } from './parcel.ts';

/** How long either side waits for the other before it goes on without. */
const PATIENCE_MS = 10_000;
/** New to old: all is there and makes sense. From here on the old server may not serve again. */
const READY = 1;
/** Old to new: it is yours. */
const GO = 2;

/** A region that can be handed over; RegionServer with its keeper. */
export interface Handed {
  readonly name: string;
  /** Serves nobody until thawed. */
  freeze(): void;
  thaw(): void;
  /** All of the region by part, as the keeper has it. They stay the region's. */
  descriptors(): ReadonlyMap<string, number>;
  /** Lets go of everything without ending it for the members: another server has it. */
  leave(): void;
}

/**
 * Gives a region to the server that listens on the abstract socket `to`. Resolves when that one has it; when it fails the
 * region is served here as before. Throws ERR_IVSHMEM_SERVER_HANDOVER.
 */
export async function handOver(region: Handed, to: string): Promise<void> {
  const failed = (why: string): IvshmemError =>
    new IvshmemError('ERR_IVSHMEM_SERVER_HANDOVER', { on: region.name, why });
  let socket = -1;
  try {
    socket = binding.socketConnect(to);
  } catch (cause) {
    throw failed(`nobody listens on ${to}: ${(cause as Error).message}`);
  }
  if (!trusts(socket)) {
    closeSync(socket);
    throw failed('the new server is of another user');
  }
  region.freeze();
  try {
    await new Promise<void>((resolve, reject) => {
      const settle = (why: string | null): void => {
        clearTimeout(timer);
        if (why === null) {
          // First of all nothing may come back to a server of ours, then it is theirs.
          region.leave();
          link.send([GO], [-1]);
          resolve();
        } else reject(failed(why));
        link.close();
      };
      const timer = setTimeout(() => settle('the new server was not ready in time'), PATIENCE_MS);
      const link = new Link(socket, {
        message: (value, fd) => {
          if (fd >= 0) closeSync(fd);
          settle(value === READY ? null : `the new server answered ${value}`);
        },
        end: () => settle('the new server ended before it was ready'),
      });
      sendParcel(link, region.descriptors());
    });
  } catch (error) {
    region.thaw();
    throw error;
  }
}

/** A region on its way from the running server. */
export interface Offered {
  /** By part; the receiver's from now on. */
  readonly descriptors: Map<string, number>;
  /** The receiver can serve it. Resolves when the old server has let go. Throws ERR_IVSHMEM_SERVER_HANDOVER. */
  accept(): Promise<void>;
  /** The old server goes on. */
  refuse(): void;
}

/** Asks the server with this control socket for its region. Throws ERR_IVSHMEM_SERVER_HANDOVER. */
export async function takeOver(region: string, control: string): Promise<Offered> {
  const on = `@ivshmem-handover-${process.pid}-${randomBytes(8).toString('hex')}`;
  const listening = binding.socketListen(on, 1);
  const failed = (why: string): IvshmemError =>
    new IvshmemError('ERR_IVSHMEM_SERVER_HANDOVER', { on: region, why });
  let asked: AskHandover | null = null;
  let link: Link | null = null;
  let settle: { resolve(value: unknown): void; reject(error: unknown): void } | null = null;
  const parcel = new Parcel();
  const close = (): void => {
    asked?.close();
    link?.close();
    acceptor.close();
  };
  let broken: string | null = null;
  const fail = (why: string): void => {
    broken ??= why;
    close();
    settle?.reject(failed(why));
    settle = null;
  };
  let offered = false;
  const message = (value: number, fd: number): void => {
    if (!offered) {
      const descriptors = parcel.add(value, fd);
      if (descriptors === null) return;
      offered = true;
      settle?.resolve(descriptors);
    } else {
      if (fd >= 0) closeSync(fd);
      if (value === GO) settle?.resolve(undefined);
    }
  };
  const acceptor = new Acceptor(
    { fd: listening, on, place: null, close: () => closeSync(listening) },
    (socket) => {
      if (link !== null || !trusts(socket)) return closeSync(socket);
      link = new Link(socket, {
        message: (value, fd) => {
          try {
            message(value, fd);
          } catch (error) {
            fail((error as Error).message);
          }
        },
        end: (why) => fail(`the running server closed the connection: ${why}`),
      }).ref();
    },
    (error) => fail((error as Error).message),
  );
  const outcome = async (): Promise<unknown> => {
    const timer = setTimeout(() => fail('the running server did not answer in time'), PATIENCE_MS);
    try {
      return await new Promise((resolve, reject) => {
        settle = { resolve, reject };
        if (broken !== null) return reject(failed(broken));
        try {
          asked ??= askHandover(control, on, fail);
        } catch (error) {
          fail(`no server answers on ${control}: ${(error as Error).message}`);
        }
      });
    } finally {
      clearTimeout(timer);
    }
  };
  const descriptors = (await outcome()) as Map<string, number>;
  return {
    descriptors,
    accept: async () => {
      const gone = outcome();
      link?.send([READY], [-1]);
      await gone;
      close();
    },
    refuse: close,
  };
}
