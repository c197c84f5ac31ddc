import { basename } from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';

/** Dependencies written as CommonJS call require(), which an ES module does not have by itself. */
export const REQUIRE =
  "import { createRequire as bundledRequire } from 'node:module'; const require = bundledRequire(import.meta.url);";

/** Ink looks for React's developer tools, which are no dependency of it, where a variable asks for them. */
export const withoutDevtools: Plugin = {
  name: 'without-devtools',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\/devtools\.js$/ }, ({ path }) => ({ path, namespace: 'absent' }));
    onLoad({ filter: /.*/, namespace: 'absent' }, () => ({ contents: '' }));
  },
};

const options = {
  bundle: true,
  write: false,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  external: ['*.node'],
  banner: { js: REQUIRE },
  plugins: [withoutDevtools],
  logLevel: 'silent',
} satisfies BuildOptions;

/**
 * Bundles a TypeScript program and what it imports into one ES module for Node 20 in a guest. Native addons
 * (`*.node`) stay outside: put them on the payload beside it.
 */
export async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({ ...options, entryPoints: [entry] });
  return outputFiles[0]!.text;
}

/**
 * Bundles programs, by name, into one folder of ES modules: NAME.mjs of each, and what `import()` brings in as files of their own,
 * so that a program reads only what it runs. Returns the files' contents by name.
 */
export async function bundleInParts(
  programs: Readonly<Record<string, string>>,
): Promise<Map<string, string>> {
  const { outputFiles } = await build({
    ...options,
    entryPoints: programs,
    splitting: true,
    outdir: '.',
    outExtension: { '.js': '.mjs' },
    chunkNames: 'part-[hash]',
  });
  return new Map(outputFiles.map(({ path, text }) => [basename(path), text]));
}
