import { isIvshmemError, open } from 'ivshmem';
import { openSpace } from 'ivshmem/dsm';

// Terminal 2, or other VMs, as many as there are: draws row after row into the picture of all.
const [width, height] = [96, 48];
await using region = await open();
const space = await openSpace(region, 'picture', { create: 'never' }).catch((error: unknown) => {
  // Whoever comes late finds nothing to do.
  if (!isIvshmemError(error, 'ERR_IVSHMEM_SPACE_MISSING')) throw error;
  return null;
});
if (space === null) {
  console.log('drew 0 rows: there is no picture');
  process.exit(); // The region is left on the way out.
}
const pixels = new Uint8Array(space.buffer);
const next = space.counter('next row');
const drawn = space.counter('rows drawn');

/** How long z * z + c stays small, from 0 to 9. */
function shade(x: number, y: number): number {
  let [re, im] = [0, 0];
  for (let i = 0; i < 90; i++) {
    [re, im] = [re * re - im * im + x, 2 * re * im + y];
    if (re * re + im * im > 4) return Math.floor(i / 10);
  }
  return 9;
}

let rows = 0;
// Each row is one worker's: add() gives every number once.
for (let row = Number(next.add()) - 1; row < height; row = Number(next.add()) - 1) {
  for (let column = 0; column < width; column++)
    pixels[row * width + column] = shade(-2.2 + (3.2 * column) / width, -1.2 + (2.4 * row) / height);
  drawn.add();
  rows++;
}
console.log(`drew ${rows} rows`);
