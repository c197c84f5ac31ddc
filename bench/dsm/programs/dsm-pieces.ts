import { openSpace } from '../../../src/dsm/index.ts';
import type { Region } from '../../../src/index.ts';
import { printBatches } from '../../contestants/batches.ts';
import { parseOptions } from '../../contestants/options.ts';
import { fail, pinSelf } from '../../contestants/pair.ts';
import { ACCESS_BYTES, firstTouches, passes } from '../access.ts';
import { barrierOf, locksOf, type Work } from '../contended.ts';
import { uncontended } from '../locks.ts';
import { NAME, partner, sample } from '../pair.ts';

// The pieces that programs on spaces are made of: --mode PIECE/WAY.
const options = parseOptions();
const { ms } = options;
const [piece, way] = options.mode.split('/') as [string, string];
const together = ['contended', 'own', 'barrier'].includes(piece);

if (options.role === 'partner')
  await partner(options, async (region, ready) => (await work(region)).answer(ready));
else if (way === 'private') {
  pinSelf(options.cpuA);
  await alone();
} else await sample(options, together ? 2 : 1, inSpace);
process.exit(0);

/** Without anything of the product. */
async function alone(): Promise<void> {
  if (piece === 'fault')
    print(
      await firstTouches(ms, async () => ({ buffer: new ArrayBuffer(ACCESS_BYTES), close: async () => {} })),
    );
  else if (piece === 'lock') print(await uncontended(ms, way));
  else print(await passes(ms, piece, new ArrayBuffer(ACCESS_BYTES)));
}

async function inSpace(region: Region): Promise<void> {
  const open = () => openSpace(region, NAME, { size: ACCESS_BYTES });
  if (piece === 'fault') print(await firstTouches(ms, open));
  else if (piece === 'lock') print(await uncontended(ms, way, (await open()).mutex('m')));
  else if (together) print(await (await work(region)).measure(ms, piece === 'own'));
  else print(await passes(ms, piece, (await open()).buffer));
}

function work(region: Region): Promise<Work> {
  return piece === 'barrier' ? barrierOf(region, way) : locksOf(region, way);
}

function print(nanoseconds: readonly number[]): void {
  if (nanoseconds.some((ns) => !(ns > 0))) fail('an operation took no time');
  printBatches(nanoseconds, 'ns', 0);
}
