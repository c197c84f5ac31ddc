import type { Channel, Message } from '../../src/index.ts';
import {
  burst,
  fillSmall,
  largeBytes,
  largeIsRight,
  largeWords,
  makeLarge,
  smallBytes,
  smallIsRight,
  stampLarge,
} from './content.ts';
import { fail } from './pair.ts';

/** Longest silence of the partner before a polling contestant gives up, nanoseconds. */
const silenceNs = 5e9;

function spin(channel: Channel): Message {
  const message = channel.spin(silenceNs);
  if (message === null) fail(`the partner fell silent (channel end: ${channel.end ?? 'none'})`);
  return message;
}

/** Room for a message; polls while the ring is full. */
function reserve(channel: Channel, length: number) {
  for (let tries = 0; tries < 1e9; tries++) {
    const room = channel.reserve(length);
    if (room !== null) return room;
  }
  fail('the ring stayed full');
}

/** One message there and back; each side writes its 64 bytes in place and reads the other's in place. */
export function pollRoundTrips(channel: Channel): (n: number) => void {
  const { words: out } = channel.outgoing;
  const { words: incoming } = channel.incoming;
  let sequence = 0;
  return (n) => {
    for (let i = 0; i < n; i++) {
      fillSmall(out, reserve(channel, smallBytes).offset >> 2, sequence);
      channel.commit();
      const message = spin(channel);
      if (!smallIsRight(incoming, message.offset >> 2, sequence)) fail(`message ${sequence}: wrong content`);
      channel.release(message);
      sequence = (sequence + 1) | 0;
    }
  };
}

/** The other end of pollRoundTrips: until it is killed. */
export function answerByPolling(channel: Channel): never {
  const { words: out } = channel.outgoing;
  const { words: incoming } = channel.incoming;
  for (;;) {
    const message = spin(channel);
    const sequence = incoming[message.offset >> 2]!;
    if (!smallIsRight(incoming, message.offset >> 2, sequence)) fail(`message ${sequence}: wrong content`);
    fillSmall(out, reserve(channel, smallBytes).offset >> 2, sequence);
    channel.commit();
    channel.release(message);
  }
}

/** Sends for ever, until it is killed: 64 bytes in bursts of 32 written in place, or 64 KiB copied in, in bursts of 2. */
export function feed(channel: Channel, large: boolean): never {
  return large ? feedLarge(channel) : feedSmall(channel);
}

function feedSmall(channel: Channel): never {
  const { words } = channel.outgoing;
  for (let sequence = 0; ; ) {
    const room = channel.reserveBurst(burst, smallBytes);
    if (room === null) continue;
    for (let i = 0, at = room.offset >> 2; i < room.count; i++, at += room.stride >> 2) {
      fillSmall(words, at, sequence);
      sequence = (sequence + 1) | 0;
    }
    channel.commit();
  }
}

function feedLarge(channel: Channel): never {
  const { words, bytes } = channel.outgoing;
  const source = new Uint8Array(makeLarge().buffer);
  for (let sequence = 0; ; ) {
    for (let i = 0; i < 2; i++, sequence = (sequence + 1) | 0) {
      // A full ring must not wait for a burst that is not out yet.
      let room = channel.reserve(largeBytes);
      if (room === null) {
        channel.commit();
        room = reserve(channel, largeBytes);
      }
      bytes.set(source, room.offset);
      stampLarge(words, room.offset >> 2, sequence);
    }
    channel.commit();
  }
}

/** Takes 64-byte messages in place, a burst at a time. */
export function takeSmall(channel: Channel): (n: number) => void {
  const { words } = channel.incoming;
  let expected = 0;
  return (n) => {
    let silent = 0;
    for (let left = n; left > 0; ) {
      const messages = channel.receiveBurst();
      if (messages === null) {
        if (++silent > 1e9) fail(`the partner fell silent (channel end: ${channel.end ?? 'none'})`);
        continue;
      }
      silent = 0;
      const { offsets, count } = messages;
      for (let i = 0; i < count; i++) {
        if (!smallIsRight(words, offsets[i]! >> 2, expected)) fail(`message ${expected}: wrong content`);
        expected = (expected + 1) | 0;
      }
      left -= count;
      channel.release();
    }
  };
}

/** Takes 64 KiB messages: in place, or copied to memory of our own. */
export function takeLarge(channel: Channel, copied: boolean): (n: number) => void {
  const { words } = channel.incoming;
  const copy = new Int32Array(largeWords);
  const copyBytes = new Uint8Array(copy.buffer);
  let expected = 0;
  return (n) => {
    for (let i = 0; i < n; i++) {
      const message = spin(channel);
      if (message.length !== largeBytes) fail(`message ${expected}: ${message.length} bytes`);
      if (copied) copyBytes.set(message.bytes);
      const right = copied
        ? largeIsRight(copy, 0, expected, true)
        : largeIsRight(words, message.offset >> 2, expected, false);
      if (!right) fail(`message ${expected}: wrong content`);
      channel.release(message);
      expected = (expected + 1) | 0;
    }
  };
}
