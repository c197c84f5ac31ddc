import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Test } from 'tap';
import { type Outcome, runToEnd } from './native-build.ts';

export const checkout = resolve(import.meta.dirname, '../..');
/** Beside a VM whose processor is emulated everything is late. */
const PATIENCE_MS = 180_000;
const NO_NETWORK = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ENOTCACHED/;

/** The package as a stranger has it: packed, and installed without scripts in a directory with nothing else. */
export interface Packed {
  readonly tarball: string;
  readonly consumer: string;
  readonly packing: Outcome;
  readonly installing: Outcome;
  /** The reason to skip what needs the package's dependencies, when no registry could be reached. */
  readonly offline: string | false;
}

/** Packs and installs; what it made goes with the test. */
export async function packAndInstall(t: Test): Promise<Packed> {
  const home = mkdtempSync(join(tmpdir(), 'ivshmem-package-'));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  const consumer = join(home, 'consumer');
  mkdirSync(consumer);
  writeFileSync(join(consumer, 'package.json'), '{ "name": "consumer", "private": true, "type": "module" }');
  const packing = await runToEnd('npm', ['pack', '--pack-destination', home], 250_000, checkout);
  const name = readdirSync(home).find((file) => file.endsWith('.tgz'));
  if (packing.code !== 0 || name === undefined) throw new Error(`npm pack failed:\n${packing.output}`);
  const tarball = join(home, name);
  const args = ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', tarball];
  const installing = await runToEnd('npm', args, 120_000, consumer);
  const offline =
    installing.code !== 0 && NO_NETWORK.test(installing.output) && 'no npm registry for the dependencies';
  return { tarball, consumer, packing, installing, offline };
}

/** Writes README's two programs, a.mjs and b.mjs, into a directory. */
export function writeReadmePrograms(directory: string): void {
  const readme = readFileSync(join(checkout, 'README.md'), 'utf8');
  for (const name of ['a.mjs', 'b.mjs']) {
    const program = new RegExp(`^\`\`\`ts\\n(// ${name}.*?)^\`\`\``, 'ms').exec(readme)?.[1];
    if (program === undefined) throw new Error(`README.md has no ${name}`);
    writeFileSync(join(directory, name), program);
  }
}

/** Repeats a program until it succeeds, for at most three minutes: whom it talks to may still be starting. */
export async function untilItSucceeds(run: () => Promise<Outcome>): Promise<Outcome> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const outcome = await run();
    if (outcome.code === 0 || performance.now() > deadline) return outcome;
  }
}
