import { createHash } from 'node:crypto';
import { SPACE_NAME_BYTES } from '../../memory/layout.ts';

const SUFFIX = ' (locks)';

/**
 * The name of the space that has the named objects of a spread one: a space of its own, because a lock wants small pages, and
 * none of those that the data takes. What does not fit is cut, and told apart by a digest.
 */
export function locksName(name: string): string {
  if (Buffer.byteLength(name + SUFFIX) <= SPACE_NAME_BYTES) return name + SUFFIX;
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 16);
  const room = SPACE_NAME_BYTES - digest.length - 1 - SUFFIX.length;
  // A character that was cut in two goes as a whole.
  const head = new TextDecoder().decode(Buffer.from(name).subarray(0, room)).replace(/\ufffd+$/, '');
  return `${head}~${digest}${SUFFIX}`;
}

/** Whether `name` is of the objects of a space that `pattern`, a name or its beginning with * behind, is for. */
export function guardsLocks(pattern: string, name: string): boolean {
  if (!pattern.endsWith('*')) return locksName(pattern) === name;
  // A beginning is that of both names, unless the second was cut within it.
  const cut = /^(.*)~[0-9a-f]{16} \(locks\)$/s.exec(name);
  return cut !== null && pattern.startsWith(cut[1]!);
}
