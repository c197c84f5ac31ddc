import { RING_EVENT_FLAGS_DESC, RING_EVENT_FLAGS_DISABLE, RING_EVENT_FLAGS_ENABLE } from './layout.ts';

/** One event suppression structure as a word: flags << 16 | wrap << 15 | offset (VIRTIO 1.3 §2.8.14). */
export function eventWord(flags: number, offset: number, wrap: number): number {
  return (flags << 16) | (wrap << 15) | offset;
}

export const EVENT_ENABLE = eventWord(RING_EVENT_FLAGS_ENABLE, 0, 0);
export const EVENT_DISABLE = eventWord(RING_EVENT_FLAGS_DISABLE, 0, 0);

/**
 * Whether the other side wants to hear of the descriptors from `from` up to but not including `to` (VIRTIO 1.3 §2.8.10).
 * Positions are running counts: position mod 2*size gives offset and wrap, so that a burst across the end of the ring needs no
 * special case. A word that is not a valid structure counts as "enabled": a spurious notification is harmless, a lost one is not.
 */
export function wantsEvent(word: number, from: number, to: number, size: number): boolean {
  const flags = (word >>> 16) & 3;
  if (flags === RING_EVENT_FLAGS_ENABLE) return true;
  if (flags === RING_EVENT_FLAGS_DISABLE) return false;
  if (flags !== RING_EVENT_FLAGS_DESC) return true;
  const offset = word & 0x7fff;
  if (offset >= size) return true;
  const lap = 2 * size - 1;
  // Wrap counters start at 1 (§2.8.1), so an even lap of the running count has wrap 1.
  const event = offset + ((word >>> 15) & 1 ? 0 : size);
  return ((event - from) & lap) < ((to - from) & lap);
}

/** The structure asking for an event when the descriptor at running position `position` is made available or used. */
export function eventAt(position: number, size: number): number {
  const wrap = (position & size) === 0 ? 1 : 0;
  return eventWord(RING_EVENT_FLAGS_DESC, position & (size - 1), wrap);
}
