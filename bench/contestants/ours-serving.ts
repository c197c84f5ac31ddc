import type { Channel } from '../../src/index.ts';
import { fillSmall, smallBytes, smallIsRight } from './content.ts';
import { fail } from './pair.ts';

function send(channel: Channel, sequence: number): void {
  // One message is under way at a time, so there is always room.
  const room = channel.reserve(smallBytes);
  if (room === null) fail(`no room (channel end: ${channel.end ?? 'none'})`);
  fillSmall(channel.outgoing.words, room.offset >> 2, sequence);
  channel.commit();
}

/** Echoes every message from the event loop. */
export function answerFromLoop(channel: Channel): void {
  const { words } = channel.incoming;
  channel.serve((message) => send(channel, words[message.offset >> 2]!));
}

/** Round trips from the event loop, over the channels in turn. */
export function loopRoundTrips(channels: readonly Channel[]): (n: number) => Promise<void> {
  let sequence = 0;
  let left = 0;
  let turn = 0;
  let finish = () => {};
  for (const channel of channels) {
    const { words } = channel.incoming;
    channel.serve((message) => {
      if (!smallIsRight(words, message.offset >> 2, sequence)) fail(`message ${sequence}: wrong content`);
      sequence = (sequence + 1) | 0;
      turn = turn + 1 === channels.length ? 0 : turn + 1;
      if (--left === 0) finish();
      else send(channels[turn]!, sequence);
    });
  }
  return (n) => {
    left = n;
    return new Promise((resolve) => {
      finish = resolve;
      send(channels[turn]!, sequence);
    });
  };
}
