/**
 * Puts libraries into the files of dist that use them, after tsc has written those: who installs the package installs none of them
 * (docs/decisions/terminal-ui.md, docs/decisions/study.md). Their licences go beside them.
 * Usage: npx tsx scripts/bundle-libraries.ts [DIST]
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { REQUIRE, withoutDevtools } from '../guest-image/bundle.ts';

const dist = resolve(process.argv[2] ?? 'dist');
/** The files that import a library, by the folder that says its licence. */
const users: Readonly<Record<string, readonly string[]>> = {
  'cli/top': ['cli/top/screen.js'],
  study: ['study/histogram.js', 'study/statistics.js', 'study/report/drawing.js'],
};

for (const [folder, files] of Object.entries(users)) {
  const packages = new Set<string>();
  for (const file of files) for (const each of await bundleInto(join(dist, file))) packages.add(each);
  const names = files.map((file) => file.slice(folder.length + 1)).join(', ');
  writeFileSync(
    join(dist, folder, 'LICENSES.txt'),
    `${names}: contains parts of these packages.\n\n${licences(packages).join(`\n${'-'.repeat(80)}\n\n`)}`,
  );
}

/** Our own files stay files of their own. */
function ownFilesStay(entry: string): Plugin {
  return {
    name: 'own-files-stay',
    setup({ onResolve }) {
      onResolve({ filter: /^\.\.?\// }, ({ path, importer }) =>
        importer === entry ? { path, external: true } : undefined,
      );
    },
  };
}

/** Bundles a file's libraries into it. Returns the folders of the packages that something of is in it. */
async function bundleInto(file: string): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: [file],
    outfile: file,
    allowOverwrite: true,
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    define: { 'process.env.NODE_ENV': '"production"' },
    banner: { js: REQUIRE },
    plugins: [withoutDevtools, ownFilesStay(file)],
    metafile: true,
    logLevel: 'warning',
  });
  const packages = new Set<string>();
  for (const [path, { bytesInOutput }] of Object.entries(Object.values(metafile.outputs)[0]!.inputs)) {
    const [, name] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path) ?? [];
    if (name !== undefined && bytesInOutput > 0)
      packages.add(path.slice(0, path.indexOf(name) + name.length));
  }
  if (packages.size === 0) throw new Error(`${file} imports nothing that could be bundled`);
  return [...packages];
}

function licences(packages: ReadonlySet<string>): string[] {
  return [...packages].sort().map((folder) => {
    const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<
      string,
      string
    >;
    const file = readdirSync(folder).find((each) => /^licen[sc]e/i.test(each));
    const text = file === undefined ? licenceOf(folder) : readFileSync(join(folder, file), 'utf8').trim();
    return `${name} ${version}\n\n${text}\n`;
  });
}

/** What the package's description says, where it has no file for it. */
function licenceOf(folder: string): string {
  const path = join(folder, 'package.json');
  const { license } = JSON.parse(readFileSync(path, 'utf8')) as { license?: string };
  if (license === undefined || !existsSync(path)) throw new Error(`${folder} has no licence`);
  return `Licence: ${license}`;
}
