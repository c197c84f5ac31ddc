/** The report and the summary as text: all there, nothing fetched, nothing of a study taken for code. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { bytes, digits, figure, levelText } from '../../../src/study/report/format.ts';
import { html } from '../../../src/study/report/html.ts';
import { writeReport } from '../../../src/study/report/index.ts';
import { testFolder } from '../../support/test-folder.ts';
import { madeUpStudy, writeStudy } from '../support/sample-study.ts';

t.test('figures as a reader says them', (t) => {
  for (const [value, unit, expected] of [
    [0.4, 'ns', '0.4 ns'],
    [428.4, 'ns', '428 ns'],
    [999.9, 'ns', '1 µs'],
    [64_281.6, 'ns', '64.3 µs'],
    [3.148, 'ms', '3.15 ms'],
    [2.5e9, 'ns', '2.5 s'],
    [12.4e9, 'B/s', '12.4 GB/s'],
    [398.46, 'op/s', '398 op/s'],
    [35.3e6, 'msg/s', '35.3 Mmsg/s'],
    [0.4217, 's/GiB', '0.422 s/GiB'],
    [0, 'ns', '0 ns'],
  ] as const)
    t.equal(figure(value, unit), expected);
  t.equal(digits(1234.5), '1235');
  t.equal(digits(0.000_012_3), '1.23e-5');
  t.strictSame([64, 4096, 1 << 20].map(bytes), ['64 B', '4 KiB', '1 MiB']);
  t.equal(levelText('remote', 30), '30 % remote');
  t.end();
});

t.test('what is put into HTML is text', (t) => {
  const name = '<script>"&\'';
  t.equal(html`<p title="${name}">${[html`<b>${name}</b>`, null, 1]}</p>`.html.match(/</g)!.length, 4);
  t.match(html`${name}`.html, '&lt;script&gt;&quot;&amp;&#39;');
  t.end();
});

t.test('a study of everything', async (t) => {
  const folder = writeStudy(t, madeUpStudy());
  const paths = await writeReport(folder);
  const page = readFileSync(paths.html, 'utf8');
  const summary = readFileSync(paths.summary, 'utf8');
  t.notMatch(page, /<(script|link|img|iframe)\b/i, 'nothing that fetches or runs');
  t.notMatch(page, /@import|url\(/, 'neither does its style');
  t.notMatch(page, /NaN|undefined|Infinity|\[object/);
  t.notMatch(summary, /NaN|undefined|Infinity|\[object/);
  for (const { path } of madeUpStudy()) t.ok(summary.includes(`| ${path} |`), path);
  t.match(summary, /\*\*no number\*\*.*etcd is not installed/);
  t.match(summary, /noisy: others used 0.4 of a processor \(5 rounds\)/);
  const again = await writeReport(folder);
  t.equal(readFileSync(again.html, 'utf8'), page, 'the same samples give the same report');
});

t.test('a study that was measured, and one that was interrupted', async (t) => {
  const folder = join(testFolder(t), 'quick');
  cpSync(new URL('../fixtures/quick', import.meta.url), folder, { recursive: true });
  const page = readFileSync((await writeReport(folder)).html, 'utf8');
  t.ok(page.match(/<figure>/g)!.length >= 10);
  t.notMatch(page, /NaN|undefined/);

  const begun = writeStudy(t, madeUpStudy(), { rounds: 1 });
  writeFileSync(join(begun, 'samples.jsonl'), '');
  const early = await writeReport(begun);
  t.match(readFileSync(early.html, 'utf8'), /Nothing was measured/);
  t.match(readFileSync(early.summary, 'utf8'), /not measured/);
});
