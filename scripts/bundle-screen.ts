/**
 * Puts the terminal library into dist/cli/top/screen.js, the one file that uses it, after tsc has written that: who installs the
 * package installs none of it (docs/decisions/terminal-ui.md). Its licences go beside it.
 * Usage: npx tsx scripts/bundle-screen.ts [DIST]
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { REQUIRE, withoutDevtools } from '../guest-image/bundle.ts';

const dist = process.argv[2] ?? 'dist';
const screen = join(dist, 'cli/top/screen.js');

const { metafile } = await build({
  entryPoints: [screen],
  outfile: screen,
  allowOverwrite: true,
  bundle: true,
  minify: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // Our own files stay files of their own.
  external: ['./terminal.js', './layout.js'],
  define: { 'process.env.NODE_ENV': '"production"' },
  banner: { js: REQUIRE },
  plugins: [withoutDevtools],
  metafile: true,
  logLevel: 'warning',
});

/** Packages that something of is in the bundle. */
const packages = new Set<string>();
for (const [path, { bytesInOutput }] of Object.entries(Object.values(metafile.outputs)[0]!.inputs)) {
  const [, name] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path) ?? [];
  if (name !== undefined && bytesInOutput > 0) packages.add(path.slice(0, path.indexOf(name) + name.length));
}
if (packages.size === 0) throw new Error(`${screen} imports nothing that could be bundled`);
const licences = [...packages].sort().map((folder) => {
  const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<
    string,
    string
  >;
  const file = readdirSync(folder).find((each) => /^licen[sc]e/i.test(each));
  const text = file === undefined ? licenceOf(folder) : readFileSync(join(folder, file), 'utf8').trim();
  return `${name} ${version}\n\n${text}\n`;
});
writeFileSync(
  join(dist, 'cli/top/LICENSES.txt'),
  `screen.js contains parts of these packages.\n\n${licences.join(`\n${'-'.repeat(80)}\n\n`)}`,
);

/** What the package's description says, where it has no file for it. */
function licenceOf(folder: string): string {
  const path = join(folder, 'package.json');
  const { license } = JSON.parse(readFileSync(path, 'utf8')) as { license?: string };
  if (license === undefined || !existsSync(path)) throw new Error(`${folder} has no licence`);
  return `Licence: ${license}`;
}
