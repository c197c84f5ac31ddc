import type { SpaceMemory } from './party.ts';

/** What an open space is to the parts of this package that live in it; not for its users. */
export interface OpenMemory extends SpaceMemory {
  /** Calls back once when the space is closed, in whatever way; its memory is detached then. Returns how to stop. */
  onClosed(callback: () => void): () => void;
  /** Whoever waits keeps the process alive, and has a device without interrupts polled: 1 to begin, -1 to end. */
  waiting(change: 1 | -1): void;
}

const memories = new WeakMap<object, OpenMemory>();

/** Of a Space. */
export function spaceMemory(space: object): OpenMemory {
  const memory = memories.get(space);
  if (memory === undefined) throw new TypeError('this is no space that was opened');
  return memory;
}

/** For Space, once. */
export function setSpaceMemory(space: object, memory: OpenMemory): void {
  memories.set(space, memory);
}
