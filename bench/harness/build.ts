import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** bench/, the checkout, and where everything built goes. */
export const benchRoot = fileURLToPath(new URL('..', import.meta.url));
export const outFolder = path.resolve(benchRoot, '../.cache/bench');

/** Builds the C contestants (those whose headers are there) and bundles the Node ones, so that they run as plain Node. */
export async function buildContestants(node: readonly string[]): Promise<void> {
  mkdirSync(outFolder, { recursive: true });
  execFileSync('make', ['-s', '-C', path.join(benchRoot, 'native'), `OUT=${outFolder}`], {
    stdio: ['ignore', 2, 2],
  });
  await bundlePrograms(node.map((name) => path.join(benchRoot, 'contestants', `${name}.ts`)));
}

/** Bundles programs, each into one file of its own name in the folder of what is built; returns their paths. */
export async function bundlePrograms(entryPoints: readonly string[]): Promise<string[]> {
  await build({ ...bundling, entryPoints: [...entryPoints], entryNames: '[name]' });
  return entryPoints.map((entry) => path.join(outFolder, `${path.basename(entry, '.ts')}.mjs`));
}

/** Bundles one program into a file of the given name there; returns its path. */
export async function bundleAs(name: string, entryPoint: URL): Promise<string> {
  await build({ ...bundling, entryPoints: { [name]: fileURLToPath(entryPoint) } });
  return path.join(outFolder, `${name}.mjs`);
}

const bundling = {
  outdir: outFolder,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // The checkout's node_modules are found from .cache/bench, and so is the addon in native/build.
  packages: 'external',
  logLevel: 'warning',
} as const;
