import { setImmediate as nextTurn } from 'node:timers/promises';
import { Times } from '../histogram.ts';

/** Something that sends numbered messages that come back in order. */
export interface Carrier {
  /** False: there is no room, the message is still due. */
  send(sequence: number): boolean;
  /** Whom to tell of each answer, and of an error. */
  listen(answered: () => void, failed: (error: Error) => void): void;
  end(): Promise<void>;
}

/** Longest wait for the last answers, milliseconds. */
const LIMIT_MS = 30_000;

/**
 * Sends `perSecond` messages a second for `ms` milliseconds, each when it is due and not when the one before is answered, and takes every time from
 * the moment the message was due: a pause of 10 ms is in the times of all messages that were due in it, as it would be in
 * those of as many users (no coordinated omission).
 * @throws Error when the carrier fails, or answers stay out.
 */
export async function openLoop(carrier: Carrier, perSecond: number, ms: number): Promise<Times> {
  const times = new Times();
  const intervalMs = 1000 / perSecond;
  const count = Math.max(1, Math.round(ms / intervalMs));
  let failure: Error | undefined;
  let answered = 0;
  const began = performance.now();
  carrier.listen(
    () => times.add((performance.now() - began - answered++ * intervalMs) * 1e6),
    (error) => {
      failure ??= error;
    },
  );
  const deadline = began + ms + LIMIT_MS;
  for (let sent = 0; answered < count; await nextTurn()) {
    const now = performance.now();
    const due = Math.min(count, Math.floor((now - began) / intervalMs) + 1);
    while (sent < due && carrier.send(sent)) sent++;
    if (failure !== undefined) throw failure;
    if (now > deadline)
      throw new Error(`${count - answered} of ${count} answers stayed out for ${LIMIT_MS / 1000} s`);
  }
  return times;
}
