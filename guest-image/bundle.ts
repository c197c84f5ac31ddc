import { build, type Plugin } from 'esbuild';

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

/**
 * Bundles a TypeScript program and what it imports into one ES module for Node 20 in a guest. Native addons
 * (`*.node`) stay outside: put them on the payload beside it.
 */
export async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: ['*.node'],
    banner: { js: REQUIRE },
    plugins: [withoutDevtools],
    logLevel: 'silent',
  });
  return outputFiles[0]!.text;
}
