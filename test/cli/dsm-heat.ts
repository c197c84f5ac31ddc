import t from 'tap';
import { heatPicture } from '../../src/cli/dsm-heat.ts';
import type { SpacesReport } from '../../src/observe/sample.ts';

type Space = SpacesReport['spaces'][number];

function report(
  spaces: readonly { readonly name: string; readonly heat?: readonly number[] }[],
): SpacesReport {
  return {
    region: 'r',
    spaces: spaces.map(({ name, heat }) => {
      const spread =
        heat === undefined
          ? {}
          : {
              spread: {
                number: 1,
                consistency: 'sequential' as const,
                replicas: 1,
                copies: 1,
                pageBytes: 4096,
                pages: 256,
                hosts: [],
                heat,
              },
            };
      return { name, ...spread } as unknown as Space;
    }),
  };
}

const count = (picture: string, what: RegExp): number => picture.match(what)?.length ?? 0;

t.test('a part that pages came to is drawn over its ground, the hotter the denser', async (t) => {
  const picture = heatPicture(
    report([{ name: 'grid', heat: [0, 1, 100, ...new Array<number>(125).fill(0)] }]),
  );
  t.equal(count(picture, /class="cold"/g), 128);
  t.same(
    [...picture.matchAll(/class="hot" opacity="([^"]+)"/g)].map(([, opacity]) => Number(opacity)),
    [Number((Math.log1p(1) / Math.log1p(100)).toFixed(3)), 1],
  );
  t.match(picture, 'at most 100 times in a part');
  t.match(picture, '128 parts of 8192 bytes');
  // Two rows of 64.
  t.equal(new Set([...picture.matchAll(/<rect x="\d+" y="(\d+)"/g)].map(([, y]) => y)).size, 2);
});

t.test('a picture has room for all that is in it', async (t) => {
  const picture = heatPicture(
    report([
      { name: 'a', heat: new Array<number>(1000).fill(1) },
      { name: 'b', heat: [1] },
    ]),
  );
  const [, width, height] = /width="(\d+)" height="(\d+)" viewBox/.exec(picture)!.map(Number);
  for (const [, x, y] of picture.matchAll(/<rect x="(\d+)" y="(\d+)"/g))
    if (Number(x) + 12 > width! || Number(y) + 12 > height!) t.fail(`${x}, ${y} of ${width}, ${height}`);
  t.equal(count(picture, /<rect/g), 2 * 1001);
});

t.test('names are text, whatever is in them', async (t) => {
  const picture = heatPicture(report([{ name: '</svg><script>&\u0007', heat: [0] }]));
  t.match(picture, '&lt;/svg&gt;&lt;script&gt;&amp;?');
  t.equal(count(picture, /<script/g), 0);
});

t.test('without a spread space it says so', async (t) => {
  for (const spaces of [[], [{ name: 'local' }]])
    t.match(heatPicture(report(spaces)), 'no space of this region spreads over hosts');
});
