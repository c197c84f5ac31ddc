/**
 * Builds the addon, that of servers with hosts, and the guardian: prebuilds/linux-x64.node, linux-x64-hosts.node and linux-x64-guardian, and all three for arm64, with the
 * C++ compilers of this machine (for the other architecture: Debian's g++-aarch64-linux-gnu or g++-x86-64-linux-gnu). Node's headers, among them OpenSSL's, are the same
 * for both.
 * Usage: npm run build:prebuilds [-- x64|arm64 ...]
 * Without arguments only what is older than its sources is built, and an architecture without a compiler is left out. What
 * `npm run build:native` has made of these sources for this machine is taken as it is.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const triplets: Readonly<Record<string, string>> = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };
/** Each of them is part of the package: what grows it by accident should be seen. */
const LIMIT_BYTES = 600_000;

/** What node-gyp builds, and what follows linux-ARCH in its name in prebuilds/ (src/native/places.ts looks for it there). */
const products = { 'addon.node': '.node', 'hosts.node': '-hosts.node', guardian: '-guardian' } as const;
const path = (arch: string, suffix: string): string => join(root, 'prebuilds', `linux-${arch}${suffix}`);
const isSource = (file: string): boolean => !/\/native\/(build|test)(\/|$)/.test(file);

/** Whether all these files are there and no source is newer. */
function areFresh(files: readonly string[]): boolean {
  const built = files.map((file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  return readdirSync(join(root, 'native'), { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(isSource)
    .every((file) => (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0) <= Math.min(...built));
}

/** Where the products for an architecture are that were built beside the sources, of these sources and as they are shipped. */
function builtHere(arch: string): string | undefined {
  const release = join(root, 'native/build/Release');
  const files = Object.keys(products).map((product) => join(release, product));
  if (arch !== process.arch || !areFresh(files)) return undefined;
  // One with a sanitizer is several times as big.
  return files.every((file) => statSync(file).size <= LIMIT_BYTES) ? release : undefined;
}

function prebuild(arch: string, from = compile(arch)): void {
  for (const [product, suffix] of Object.entries(products)) {
    const target = path(arch, suffix);
    mkdirSync(dirname(target), { recursive: true });
    cpSync(join(from, product), target);
    const { size } = statSync(target);
    if (size > LIMIT_BYTES) throw new Error(`${target} has ${size} bytes, more than ${LIMIT_BYTES}`);
    console.log(`${target} ${size} bytes`);
  }
}

/** Compiles everything, and returns the folder with the products. */
function compile(arch: string): string {
  const triplet = triplets[arch];
  if (triplet === undefined) throw new Error(`no such architecture: ${arch} (x64, arm64)`);
  // A copy under the root, so that node-addon-api is found and native/build, which may be in use, stays as it is.
  const copy = join(root, '.cache', 'prebuild', arch);
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy, { recursive: true });
  cpSync(join(root, 'native'), copy, {
    recursive: true,
    filter: isSource,
  });
  const cross = arch !== process.arch;
  const tools = cross ? { CC: `${triplet}-gcc`, CXX: `${triplet}-g++`, AR: `${triplet}-gcc-ar` } : {};
  const built = spawnSync('npx', ['node-gyp', 'rebuild', `--directory=${copy}`, `--arch=${arch}`], {
    cwd: root,
    env: { ...process.env, ...tools },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (built.status !== 0) throw new Error(`building for ${arch} failed`);
  return join(copy, 'build/Release');
}

function isFresh(arch: string): boolean {
  return areFresh(Object.values(products).map((suffix) => path(arch, suffix)));
}

function hasCompiler(arch: string): boolean {
  const compiler = arch === process.arch ? 'g++' : `${triplets[arch]}-g++`;
  const found = spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status === 0;
  if (!found) console.log(`linux-${arch} is left out: ${compiler} is not installed`);
  return found;
}

const wanted = process.argv.slice(2);
if (wanted.length > 0) for (const arch of wanted) prebuild(arch);
else
  for (const arch of Object.keys(triplets))
    if (!isFresh(arch) && hasCompiler(arch)) prebuild(arch, builtHere(arch));
