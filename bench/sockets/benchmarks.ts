import { formatSize, messagesPerWrite, type Order, orders, rowId } from '../../src/study/stream/orders.ts';
import { oursName } from '../harness/rows.ts';
import type { Benchmark } from '../harness/types.ts';
import type { Command } from './commands.ts';

export interface Way {
  /** Of the contestant. */
  readonly name: string;
  /** The pair of processes that is asked; several ways can use one. */
  readonly pair: string;
  readonly onread?: boolean;
}

export interface Sampling {
  /** Length of one sample, and least length of its warm-up, milliseconds. */
  readonly ms: number;
  readonly warmUpMs: number;
  /** Least size of a batch of messages. */
  readonly leastBytes: number;
}

/** What is measured under one id, and how the pairs are asked for it. */
export interface Item extends Pick<Benchmark, 'id' | 'metric' | 'unit' | 'better' | 'target'> {
  readonly ways: readonly Way[];
  readonly command: (way: Way, settings: Sampling) => Command;
}

const same: readonly Way[] = (['ours', 'unix', 'tcp'] as const).map((name) => ({ name, pair: name }));
const onread: Way = { name: 'unix-onread', pair: 'unix', onread: true };

/** All of one stream, as rows of `Row`. */
export function streamItems(ways: readonly Way[] = [...same, onread], where = ''): Item[] {
  return orders.map((order) => ({
    id: rowId(order),
    metric: `${whatOf(order)}${where}`,
    ...(order.what === 'rtt'
      ? { unit: 'ns', better: 'lower' as const }
      : { unit: 'B/s', better: 'higher' as const }),
    // A buffer of the program's own matters where there is much to read.
    ways: order.what === 'rtt' ? ways.filter((way) => way.onread !== true) : ways,
    target: { baselineName: 'unix', ratio: 1 },
    command: (way, settings) => ({ op: 'stream', onread: way.onread === true, ...settings, ...order }),
  }));
}

function whatOf(order: Order): string {
  const size = formatSize(order.bytes);
  if (order.what === 'rtt') return `round trip, ${size}`;
  const count = messagesPerWrite(order);
  return count > 1
    ? `messages of ${size}, one way, ${count} in a write`
    : `messages of ${size}, one way, each in a write`;
}

/** An ordinary HTTP server and an ordinary client, with and without the transparent mode. */
export function httpItem(ways: readonly Way[], where = ''): Item {
  return {
    id: 'http',
    metric: `requests of 1 KiB pages to an HTTP server, 16 connections${where}`,
    ...{ unit: '1/s', better: 'higher', ways },
    command: (_, { ms, warmUpMs }) => ({ op: 'load', ms, warmUpMs }),
  };
}

export const nativeHttpItem = httpItem(same.map(({ name }) => ({ name, pair: `http-${name}` })));

export const connectItem: Item = {
  id: 'connect',
  metric: 'from connect() to the first bytes of the answer',
  unit: 'us',
  better: 'lower',
  ways: same,
  target: { baselineName: 'tcp', ratio: 1.5 },
  command: (_, { ms, warmUpMs }) => ({ op: 'connect', ms, warmUpMs }),
};

/** Switches of one sample. */
const SWITCHES = 12;

export const stallItem: Item = {
  id: 'switch-stall',
  metric: 'longest gap of a steady stream in a switch to TCP and back to shared memory',
  unit: 'ms',
  better: 'lower',
  ways: [{ name: oursName, pair: 'ours' }],
  command: (_, { ms }) => ({ op: 'stall', switches: ms < 150 ? 4 : SWITCHES }),
};

/** What reports and rows take. */
export function asBenchmark({ id, metric, unit, better, ways, target }: Item): Benchmark {
  const contestants = ways.map(({ name }) => ({ name, command: [] }));
  return { id, metric, unit, better, contestants, ...(target === undefined ? {} : { target }) };
}
