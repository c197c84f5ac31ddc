import type net from 'node:net';
import type { Region } from '../../channel/index.ts';
import { median } from '../../demo/figures.ts';
import { batchesOf, type Step, warmUp } from '../batches.ts';
import { Times } from '../histogram.ts';
import { measureChannel } from '../stream/channel.ts';
import { measureStream } from '../stream/measuring.ts';
import type { SocketModule } from '../stream/modules.ts';
import { leastBatch, type Order } from '../stream/orders.ts';
import { channelCarrier, streamCarrier } from './carriers.ts';
import type { Begin, Command, Taken } from './commands.ts';
import { beginMixed } from './mixed.ts';
import { openLoop } from './open-loop.ts';
import { targetOf } from './target.ts';

/** What a measuring process has to measure with: one of them. */
export type Means =
  | { readonly region: Region }
  | { readonly module: SocketModule; readonly target: net.NetConnectOpts };

/** Round trips whose single times are taken, at most and at least. */
const MOST_TIMES = 20_000;
const LEAST_TIMES = 20;

/** A batch of messages over a channel holds at least so many times what its ring does. */
const RINGS = 4;
/** What a ring holds at most. */
const MOST_READY = 1024;
const READY_BYTES = 8 << 20;

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Takes samples, each in two steps. */
export class Sampler {
  readonly #means: Means;
  #go: (() => Promise<Taken>) | undefined;

  constructor(means: Means) {
    this.#means = means;
  }

  async take(command: Command): Promise<Taken | null> {
    if (command.op === 'begin') {
      this.#go = await this.#beginAny(command);
      return null;
    }
    const go = this.#go;
    if (go === undefined) throw new Error('nothing was begun');
    this.#go = undefined;
    return go();
  }

  #beginAny(command: Begin): Promise<() => Promise<Taken>> {
    const means = this.#means;
    const { perSecond, remoteAt } = command;
    if (perSecond !== undefined) return this.#beginOpen(command);
    if (remoteAt === undefined) return this.#begin(command);
    if ('region' in means) throw new Error('a channel has no remote part');
    return beginMixed(means.module, means.target, { ...targetOf(remoteAt), noDelay: true }, command);
  }

  /** One after the other: the fastest it goes. */
  async #begin(command: Begin): Promise<() => Promise<Taken>> {
    const { what, bytes, ms, warmUpMs, leastBytes, burst } = command;
    const order: Order = { what, bytes, ...(burst === undefined ? {} : { burst }) };
    let lap: (() => void) | undefined;
    const onLap = (): void => lap?.();
    const roundTrip = what === 'rtt' || what === 'open';
    const { step, end, forget } = await this.#side(order, command, roundTrip ? onLap : undefined);
    const ended = (error: unknown) => end().then(() => Promise.reject(error));
    const first = Math.max(1, Math.min(64, leastBytes / bytes));
    // A ring lends what lies ready at once: batches that are no longer than that would take no time at all.
    const ready = Math.max(1, Math.min(MOST_READY, READY_BYTES / bytes));
    const rings = 'region' in this.#means && !roundTrip ? RINGS * ready : 1;
    const least = Math.max(rings, leastBatch(order, leastBytes));
    const n = await warmUp(ms, step, { least, warmUp: warmUpMs, first }).catch(ended);
    return async () => {
      try {
        forget?.();
        // What lies ready since the warm-up was not sent in the time that is measured.
        if (!roundTrip) await step(ready);
        const batches = await batchesOf(step, n);
        // Of a stream all batches together: what comes at once may be more than a batch asks for, and the next one takes no time then.
        if (!roundTrip) return { value: (bytes * 1e9) / mean(batches), operations: n * batches.length };
        const value = median(batches);
        const times = new Times();
        let last = 0;
        lap = () => {
          const now = performance.now();
          times.add((now - last) * 1e6);
          last = now;
        };
        const count = Math.max(LEAST_TIMES, Math.min(MOST_TIMES, n));
        last = performance.now();
        await step(count);
        return { value, operations: n * batches.length + count, histogram: times.encode() };
      } finally {
        await end();
      }
    };
  }

  /** At a given rate: the value is the median of the times. */
  async #beginOpen({ bytes, ms, warmUpMs, perSecond }: Begin): Promise<() => Promise<Taken>> {
    const means = this.#means;
    const open = () =>
      'region' in means
        ? channelCarrier(means.region, bytes)
        : streamCarrier(means.module, means.target, bytes);
    const run = async (length: number): Promise<Times> => {
      const carrier = await open();
      try {
        return await openLoop(carrier, perSecond!, length);
      } finally {
        await carrier.end();
      }
    };
    await run(warmUpMs);
    return async () => {
      const times = await run(ms);
      return { value: times.quantile(0.5), operations: times.count, histogram: times.encode() };
    };
  }

  async #side(
    order: Order,
    { onread, copied, shape }: Begin,
    lap: (() => void) | undefined,
  ): Promise<{ step: Step; end: () => Promise<unknown>; forget?: () => void }> {
    const means = this.#means;
    if (!('region' in means)) return measureStream(means.module, means.target, order, onread === true, lap);
    return measureChannel(means.region, order, {
      copied: copied === true,
      ...(shape === undefined ? {} : { shape }),
      ...(lap === undefined ? {} : { lap }),
    });
  }
}
