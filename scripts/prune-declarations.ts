/**
 * Removes from dist the declarations that nobody can import: those that no entry of the package's `exports` leads to.
 * Usage: npx tsx scripts/prune-declarations.ts [DIST]
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const dist = resolve(process.argv[2] ?? 'dist');
const { exports } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  exports: Record<string, string | { types: string }>;
};

const wanted = new Set<string>();
const entries = Object.values(exports).flatMap((entry) => (typeof entry === 'string' ? [] : [entry.types]));
for (const entry of entries) follow(join(dist, entry.replace('./dist/', '')));
for (const name of readdirSync(dist, { recursive: true, encoding: 'utf8' }))
  if (name.endsWith('.d.ts') && !wanted.has(join(dist, name))) rmSync(join(dist, name));

/** Throws when a declaration names one that is not there. */
function follow(path: string): void {
  if (wanted.has(path)) return;
  wanted.add(path);
  // `from './a.js'`, `import './a.js'` and `import('./a.js')`; tsc has resolved nothing else into relative names.
  for (const [, name] of readFileSync(path, 'utf8').matchAll(/\b(?:from|import)\s*\(?\s*['"](\.[^'"]+)['"]/g))
    follow(resolve(dirname(path), name!.replace(/\.[jt]s$/, '.d.ts')));
}
