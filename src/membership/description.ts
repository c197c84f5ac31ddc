import { networkInterfaces } from 'node:os';
import { IvshmemError } from '../errors/index.ts';
import { encodeItems, type Item, MAX_ITEM_BYTES, MAX_ITEMS_BYTES } from '../memory/member-record.ts';
import { isName } from '../memory/names.ts';

/** What a member says of itself to the others, who get it as text and must not trust it. */
export interface Description {
  /** Where it can be reached besides this region; any text of 1 to 255 bytes. */
  readonly addresses?: readonly string[];
  /** Anything else, by key; `key=value` is at most 255 bytes. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** The IP addresses of this machine that others may know. */
export function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.filter(({ internal }) => !internal).map(({ address }) => address);
}

/** A description as the bytes of a draft. ERR_IVSHMEM_MEMBERSHIP_DESCRIPTION when it does not fit or makes no sense. */
export function encodeDescription({ addresses = [], labels = {} }: Description): Uint8Array {
  const items: Item[] = addresses.map((text) => ({ type: 'address', text }));
  for (const [key, value] of Object.entries(labels)) {
    if (key === '' || key.includes('=')) refuse(`${JSON.stringify(key)} is no key of a label`);
    items.push({ type: 'label', text: `${key}=${value}` });
  }
  for (const { type, text } of items) {
    if (typeof text !== 'string' || !isName(text, MAX_ITEM_BYTES))
      refuse(`the ${type} ${JSON.stringify(text)} cannot be one`);
  }
  const bytes = encodeItems(items);
  if (bytes.length > MAX_ITEMS_BYTES) refuse(`it takes ${bytes.length} bytes`);
  return bytes;
}

/** As many of the addresses, from the first, as a description holds. */
export function fittingAddresses(addresses: readonly string[]): string[] {
  const fitting = addresses.filter((text) => isName(text, MAX_ITEM_BYTES));
  // Half of the room: listeners and labels need theirs.
  while (encodeItems(fitting.map((text) => ({ type: 'address', text }))).length > MAX_ITEMS_BYTES / 2)
    fitting.pop();
  return fitting;
}

function refuse(why: string): never {
  throw new IvshmemError('ERR_IVSHMEM_MEMBERSHIP_DESCRIPTION', { why, most: MAX_ITEMS_BYTES });
}
