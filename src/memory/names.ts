/** Names in shared memory: UTF-8, NUL-padded, in whole words. */

/** Writes `name` over `bytes` bytes starting at a word; the caller has checked that it fits. */
export function writeName(words: Int32Array, at: number, bytes: number, name: string): void {
  const view = new Uint8Array(words.buffer, words.byteOffset + at * 4, bytes);
  view.fill(0);
  view.set(new TextEncoder().encode(name).subarray(0, bytes));
}

/** Reads a name that anyone may have written: one copy, cut at the first NUL, bad UTF-8 replaced. */
export function readName(words: Int32Array, at: number, bytes: number): string {
  const copy = new Uint8Array(words.buffer, words.byteOffset + at * 4, bytes).slice();
  const end = copy.indexOf(0);
  return new TextDecoder().decode(end < 0 ? copy : copy.subarray(0, end));
}

/** Whether a name is 1 to `bytes` bytes of UTF-8 without control characters. */
export function isName(name: string, bytes: number): boolean {
  const length = new TextEncoder().encode(name).length;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused.
  return length > 0 && length <= bytes && !/[\u0000-\u001f\u007f]/.test(name);
}
