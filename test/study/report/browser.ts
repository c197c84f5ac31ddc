/** The report in a real browser, as a reader gets it: every plot is there and can be read, on a phone, in the dark and on paper. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import t from 'tap';
import { diffStudies } from '../../../src/study/diff.ts';
import { diffHtml } from '../../../src/study/report/diff-page.ts';
import { writeReport } from '../../../src/study/report/index.ts';
import { testFolder } from '../../support/test-folder.ts';
import { profiled } from '../support/a-profile.ts';
import { noBrowser, openBrowser } from '../support/browser.ts';
import { badContrast, emptyPlots } from '../support/page-checks.ts';
import { madeUpStudy, writeStudy } from '../support/sample-study.ts';

/** What went wrong in a page, and whatever it asked for beyond itself. */
interface Visit {
  readonly page: Page;
  readonly errors: string[];
  readonly asked: string[];
}

async function visit(
  browser: Browser,
  file: string,
  width: number,
  scheme: 'light' | 'dark',
): Promise<Visit> {
  const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme: scheme });
  page.setDefaultTimeout(60_000);
  const errors: string[] = [];
  const asked: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => errors.push(message.text()));
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(pathToFileURL(file).href);
  return { page, errors, asked };
}

t.test('in Chromium', { skip: noBrowser ?? false }, async (t) => {
  const folder = profiled(writeStudy(t, madeUpStudy()));
  const { html } = await writeReport(folder);
  const browser = await openBrowser();
  t.teardown(() => browser.close());

  for (const scheme of ['light', 'dark'] as const)
    for (const width of [390, 1280])
      await t.test(`${width} wide, ${scheme}`, async (t) => {
        const { page, errors, asked } = await visit(browser, html, width, scheme);
        t.equal(
          await page.evaluate('document.documentElement.scrollWidth <= innerWidth'),
          true,
          'no scrolling sideways',
        );
        // All tables, too.
        await page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true");
        t.equal(
          await page.evaluate('document.documentElement.scrollWidth <= innerWidth'),
          true,
          'nor of its tables',
        );
        t.strictSame(
          await page.evaluate(badContrast),
          [],
          'text and marks can be told from what is behind them',
        );
        t.strictSame(await page.evaluate(emptyPlots), [], 'every plot shows something, in its own frame');
        const ground = await page.evaluate('getComputedStyle(document.body).backgroundColor');
        t.equal(ground, scheme === 'light' ? 'rgb(255, 255, 255)' : 'rgb(20, 23, 26)');
        t.strictSame(errors, [], 'no error');
        t.strictSame(asked, [pathToFileURL(html).href], 'nothing is fetched');
        await page.close();
      });

  await t.test('every experiment has its plots, and the names that look like HTML are text', async (t) => {
    const { page } = await visit(browser, html, 1280, 'light');
    const counts = (await page.evaluate(
      "Object.fromEntries([...document.querySelectorAll('section')].map((each) => [each.id, each.querySelectorAll('figure').length]))",
    )) as Record<string, number>;
    for (const { experiment } of madeUpStudy())
      t.ok(counts[experiment]! > 0, `${experiment}: ${counts[experiment]}`);
    t.equal(await page.evaluate("document.querySelectorAll('script, b').length"), 0);
    const text = String(await page.evaluate('document.body.textContent'));
    t.match(text, 'test <machine>');
    t.match(text, 'the guest said "<b>no</b>" & left', 'why a point has no number');
    t.match(text, 'others used 0.4 of a processor', 'why a sample is noisy');
    t.match(text, 'etcd is not installed', 'why a point was not measured');
    await page.close();
  });

  await t.test('on paper', async (t) => {
    const { page } = await visit(browser, html, 1280, 'dark');
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    t.equal(
      await page.evaluate('getComputedStyle(document.documentElement).getPropertyValue("--ground").trim()'),
      '#ffffff',
      'white, whatever the screen',
    );
    t.equal(await page.evaluate("getComputedStyle(document.querySelector('nav')).display"), 'none');
    const pdf = await page.pdf({ format: 'A4' });
    t.equal(pdf.subarray(0, 5).toString(), '%PDF-');
    await page.close();
  });

  await t.test('two studies compared', async (t) => {
    const file = join(testFolder(t), 'diff.html');
    writeFileSync(file, diffHtml(diffStudies(folder, folder)));
    const { page, errors } = await visit(browser, file, 390, 'dark');
    await page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true");
    t.equal(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true);
    t.strictSame(await page.evaluate(badContrast), []);
    t.strictSame(errors, []);
    await page.close();
  });
});
