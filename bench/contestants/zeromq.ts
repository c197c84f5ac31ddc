import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { printBatches, timeBatches } from './batches.ts';
import {
  fillSmall,
  largeBytes,
  largeIsRight,
  largeWords,
  makeLarge,
  smallBytes,
  smallIsRight,
  stampLarge,
} from './content.ts';
import { parseOptions } from './options.ts';
import { serveOtherWork, wasServed } from './other-work.ts';
import { announce, announced, endPartner, endWithParent, fail, pinSelf, startPartner } from './pair.ts';

// zeromq.js, a PAIR of sockets over ipc, default options. Modes: rtt, loop, rate, in-place, copied.

/** What is used of zeromq.js; typed here because it is installed by `make bench` only. */
interface PairSocket {
  bind(address: string): Promise<void>;
  connect(address: string): void;
  send(message: Uint8Array): Promise<void>;
  receive(): Promise<Buffer[]>;
}

// Bundles live outside bench/, so its node_modules must be named.
const { Pair } = createRequire(path.join(process.env.BENCH_ROOT ?? '', 'package.json'))('zeromq') as {
  Pair: new () => PairSocket;
};

const options = parseOptions();
const large = options.mode === 'in-place' || options.mode === 'copied';
const roundTrip = options.mode === 'rtt' || options.mode === 'loop';
const socket = new Pair();
const source = makeLarge();
const copy = new Int32Array(largeWords);

if (options.role === 'partner') await partner();
else await measure();

async function partner(): Promise<void> {
  endWithParent();
  if (options.mode === 'loop') serveOtherWork();
  await socket.bind(`ipc://${options.address}`);
  announce(options.address);
  if (roundTrip) for (;;) await socket.send((await socket.receive())[0]!);
  for (let sequence = 0; ; sequence = (sequence + 1) | 0) {
    // A fresh message each time: zeromq.js takes large ones over without a copy, so none may be written again.
    const words = large ? source.slice() : new Int32Array(smallBytes / 4);
    if (large) stampLarge(words, 0, sequence);
    else fillSmall(words, 0, sequence);
    await socket.send(new Uint8Array(words.buffer));
  }
}

async function measure(): Promise<void> {
  pinSelf(options.cpuA);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bench-zeromq-'));
  const partner = startPartner(options, path.join(folder, 'socket'));
  socket.connect(`ipc://${await announced(partner)}`);
  const served = options.mode === 'loop' ? serveOtherWork() : undefined;
  const from = performance.now();
  let expected = 0;
  const batches = await timeBatches(options.ms, async (n) => {
    for (let i = 0; i < n; i++) {
      if (roundTrip) await socket.send(small(expected));
      verify((await socket.receive())[0]!, expected);
      expected = (expected + 1) | 0;
    }
  });
  if (served && !wasServed(served(), performance.now() - from))
    fail(`the loop served its timer only ${served()} times`);
  await endPartner(partner);
  rmSync(folder, { recursive: true, force: true });
  printBatches(batches, roundTrip ? 'ns' : large ? 'B/s' : 'msg/s', roundTrip ? 0 : large ? largeBytes : 1);
  process.exit(0);
}

function small(sequence: number): Uint8Array {
  const words = new Int32Array(smallBytes / 4);
  fillSmall(words, 0, sequence);
  return new Uint8Array(words.buffer);
}

function verify(message: Buffer, sequence: number): void {
  if (message.length !== (large ? largeBytes : smallBytes))
    fail(`message ${sequence}: ${message.length} bytes`);
  let words: Int32Array;
  if (options.mode === 'copied' || message.byteOffset % 4) {
    // Caller-owned memory, as in the other contestants; also where a view cannot be laid over an odd address.
    new Uint8Array(copy.buffer).set(message);
    words = copy;
  } else {
    words = new Int32Array(message.buffer, message.byteOffset, message.length / 4);
  }
  const right = large
    ? largeIsRight(words, 0, sequence, options.mode === 'copied')
    : smallIsRight(words, 0, sequence);
  if (!right) fail(`message ${sequence}: wrong content`);
}
