import t from 'tap';
import { screenSvg, terminalSvg } from '../../scripts/terminal-svg.ts';

t.test('what was printed is what is drawn', async (t) => {
  const svg = terminalSvg('run "it"', '\u001b[32mgreen\u001b[0m & <plain>\r\n\n  indented\n\n');
  t.match(svg, />\$ run &quot;it&quot;<\/text>/);
  t.match(svg, />green &amp; &lt;plain&gt;<\/text>/);
  t.match(svg, /> {2}indented<\/text>/, 'leading spaces stay');
  t.equal(svg.match(/<text /g)?.length, 3, 'an empty line has no text');
  t.notMatch(svg, '\u001b');
});

t.test('long lines are cut, and say so', async (t) => {
  t.match(terminalSvg('x', 'a'.repeat(50), 20), new RegExp(`>${'a'.repeat(19)}…<`));
});

t.test('every line lies inside the picture', async (t) => {
  const svg = terminalSvg('x', 'wide '.repeat(20));
  const [, width, height] = /width="(\d+)" height="(\d+)"/.exec(svg)!;
  for (const [, x, y, length] of svg.matchAll(/<text x="(\d+)" y="(\d+)" textLength="([\d.]+)"/g)) {
    t.ok(Number(x) + Number(length) <= Number(width) && Number(y) < Number(height));
  }
});

t.test('a screen is drawn cell by cell, in its colours', async (t) => {
  const plain = { color: null, dim: false, inverse: false };
  const svg = screenSvg(
    'a <screen>',
    [
      [
        { ...plain, text: 'ab ' },
        { ...plain, text: 'green', color: 2 },
      ],
      [{ ...plain, text: ' q ', inverse: true }],
      [{ ...plain, text: '   ' }],
    ],
    8,
  );
  t.match(svg, 'aria-label="a &lt;screen&gt;"');
  const [, first, second] = /x="([\d.]+)"[^>]*>ab <[\s\S]*x="([\d.]+)"[^>]*fill="#7ee787">green</.exec(svg)!;
  t.equal(Math.round((Number(second) - Number(first)) / 7.8), 3, 'three cells on');
  t.match(svg, /<rect x[^>]*fill="#8b949e"\/>/, 'inverse has a ground');
  t.equal(svg.match(/<text /g)?.length, 3, 'an empty row has no text');
});
