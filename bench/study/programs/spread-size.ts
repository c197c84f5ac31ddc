import type { SpreadSpace } from '../../../src/dsm/index.ts';
import { parseOptions } from '../../contestants/options.ts';
import { openSpread, partnerOnHost, REGION_BYTES, sampleHosts } from '../../dsm/hosts/pair.ts';

// How large a space is beside all the memory of the larger of its two hosts: every page is written and read, by both of them.
const PAGE_BYTES = 64 << 10;
const SPACE_BYTES = 1.5 * REGION_BYTES;
const options = parseOptions();

if (options.role === 'partner')
  await partnerOnHost(options, async (region) => {
    const space = await openSpread(region, SPACE_BYTES, PAGE_BYTES);
    return async (what) => {
      const { words, half } = wordsOf(space);
      if (what === 'fill') fill(words, half, words.length);
      else check(words, 0, half);
      return 'done';
    };
  });
else {
  const bytes = await sampleHosts(options, async (region, partner) => {
    const space = await openSpread(region, SPACE_BYTES, PAGE_BYTES);
    const { words, half } = wordsOf(space);
    fill(words, 0, half);
    await partner.ask('fill');
    // Each wants the half of the other one, and no host can hold both halves.
    await partner.ask('check');
    check(words, half, words.length);
    check(words, 0, half);
    return space.byteLength;
  });
  const value = bytes / REGION_BYTES;
  process.stdout.write(`${JSON.stringify({ value, unit: '×', batches: [value] })}\n`);
}
process.exit(0);

function wordsOf(space: SpreadSpace): { words: Int32Array; half: number } {
  const words = new Int32Array(space.buffer);
  return { words, half: words.length / 2 };
}

function fill(words: Int32Array, from: number, to: number): void {
  for (let at = from; at < to; at++) words[at] = at ^ 0x5a5a;
}

/** @throws Error when a word is not the one that was written. */
function check(words: Int32Array, from: number, to: number): void {
  for (let at = from; at < to; at++)
    if (words[at] !== (at ^ 0x5a5a)) throw new Error(`word ${at} is ${words[at]}`);
}
