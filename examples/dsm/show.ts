import { open } from 'ivshmem';
import { openSpace } from 'ivshmem/dsm';

// Terminal 1, or the first VM: makes a picture that others draw, and shows it when it is done.
const [width, height] = [96, 48];
const region = await open({ name: 'show' });
const space = await openSpace(region, 'picture', { size: width * height });
const pixels = new Uint8Array(space.buffer);
console.log(`a picture of ${height} rows: draw it`);

await space.counter('rows drawn').reach(height);
const shades = ' .:-=+*#%@';
for (let row = 0; row < height; row += 2) {
  const line = pixels.subarray(row * width, (row + 1) * width);
  console.log([...line].map((shade) => shades[shade]).join(''));
}
console.log(`${pixels.filter((shade) => shade > 0).length} of ${pixels.length} pixels`);
await region.close();
