import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Test } from 'tap';
import { walk } from '../../guest-image/cache.ts';
import { type Outcome, runToEnd } from './native-build.ts';

export const checkout = resolve(import.meta.dirname, '../..');
/** Beside a VM whose processor is emulated everything is late. */
const PATIENCE_MS = 180_000;
const NO_NETWORK = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ENOTCACHED/;

/** The package as a stranger has it: packed, and installed without scripts in a directory with nothing else. */
export interface Packed {
  readonly tarball: string;
  readonly consumer: string;
  readonly installing: Outcome;
  /** The reason to skip what needs the package's dependencies, when no registry could be reached. */
  readonly offline: string | false;
}

/** The package as it was packed last, and all it is made of. */
const PACKED = join(checkout, '.cache/test/package.tgz');
const FOLDERS = ['src', 'scripts', 'systemd', 'native'];
const FILES = [
  'README.md',
  'LICENSE',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
];

function isPacked(): boolean {
  const time = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const packed = time(PACKED);
  const inside = FOLDERS.flatMap((folder) => walk(join(checkout, folder)).map((path) => join(folder, path)));
  const sources = inside.filter((path) => !/^native\/(build|test)(\/|$)/.test(path));
  return [...sources, ...FILES, 'guest-image/bundle.ts'].every((path) => time(join(checkout, path)) < packed);
}

async function pack(home: string): Promise<{ tarball: string; packing: Outcome }> {
  const packing = await runToEnd('npm', ['pack', '--pack-destination', home], 250_000, checkout);
  const name = readdirSync(home).find((file) => file.endsWith('.tgz'));
  if (packing.code !== 0 || name === undefined) throw new Error(`npm pack failed:\n${packing.output}`);
  const tarball = join(home, name);
  mkdirSync(dirname(PACKED), { recursive: true });
  copyFileSync(tarball, `${PACKED}.${process.pid}`);
  renameSync(`${PACKED}.${process.pid}`, PACKED);
  return { tarball, packing };
}

/** Packs and installs; what it made goes with the test. */
export async function packAndInstall(t: Test): Promise<Packed & { readonly packing: Outcome }> {
  const home = mkdtempSync(join(tmpdir(), 'ivshmem-package-'));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  const { tarball, packing } = await pack(home);
  return { packing, ...(await install(home, tarball)) };
}

/** For tests that are not about packing: installs the package as it was packed last, if that was of these sources. */
export async function installPacked(t: Test): Promise<Packed> {
  const home = mkdtempSync(join(tmpdir(), 'ivshmem-package-'));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  return install(home, isPacked() ? PACKED : (await pack(home)).tarball);
}

async function install(home: string, tarball: string): Promise<Packed> {
  const consumer = join(home, 'consumer');
  mkdirSync(consumer);
  writeFileSync(join(consumer, 'package.json'), '{ "name": "consumer", "private": true, "type": "module" }');
  const args = ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', tarball];
  const installing = await runToEnd('npm', args, 120_000, consumer);
  const offline =
    installing.code !== 0 && NO_NETWORK.test(installing.output) && 'no npm registry for the dependencies';
  return { tarball, consumer, installing, offline };
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
