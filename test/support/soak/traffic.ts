import type { Channel, Listener } from '../../../src/index.ts';

/** `length` bytes that tell one message from another. */
export function fill(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed | 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 0x19660d) + 0x3c6ef35f) | 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export const right = (answer: Uint8Array, question: Uint8Array): boolean =>
  Buffer.compare(answer, question) === 0;

/** Answers every channel of a listener with what it says, until its peer goes. */
export async function echo(listener: Listener): Promise<void> {
  for await (const channel of listener) void answer(channel);
}

async function answer(channel: Channel): Promise<void> {
  for await (const message of channel) if (!(await channel.write(message.copy()))) break;
  channel.close();
}
