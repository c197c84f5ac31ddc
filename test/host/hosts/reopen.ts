/** One space, opened by two parts of a program. */
import t from 'tap';
import { openSpace } from '../../../src/dsm/index.ts';
import { withoutOpenssl } from './support/certificates.ts';
import { Fleet } from './support/fleet.ts';
import { PAGE } from './support/scenes.ts';

const skip = withoutOpenssl() ?? false;

t.test('one closes it while the other opens it with locks', { skip, timeout: 100_000 }, async (t) => {
  const fleet = new Fleet(t, 1, { lease: 15 });
  await fleet.start(0);
  const region = await fleet.member(0);
  const options = { size: 64 * PAGE, spread: true } as const;
  const first = await openSpace(region, 'grid', options);
  const second = openSpace(region, 'grid', { ...options, locks: true });
  // Its locks are asked for by now.
  await new Promise((resolve) => setImmediate(resolve));
  await first.close();
  const space = await second;
  t.equal(space.buffer.byteLength, 64 * PAGE, 'it is there');
  const held = await space.mutex('own').lock();
  held.release();
  await space.close();
  t.ok(space.closed);
  t.equal(space.buffer.byteLength, 0);
  await region.close();
});
