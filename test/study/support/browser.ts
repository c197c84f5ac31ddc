import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executablePath = places.find((place) => existsSync(place));

/** Why tests in a browser cannot run here; null where they can. */
export const noBrowser = executablePath === undefined ? 'no Chromium here (apt-get install chromium)' : null;

/** A browser without a window. As root it has no sandbox, and there is nothing in it but files of the test. */
export async function openBrowser(): Promise<Browser> {
  const args = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'];
  return await chromium.launch({ executablePath: executablePath!, args, timeout: 120_000 });
}
