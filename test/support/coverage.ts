/**
 *   tsx test/support/coverage.ts FOLDER
 * Fails when fewer than 90 % of the lines of src/ were run, by V8's counts in FOLDER (NODE_V8_COVERAGE); names the files below 80 %.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';

const LINES_PERCENT = 90;

/** What node writes into NODE_V8_COVERAGE, one file for each process and thread. */
interface Counts {
  readonly result: readonly {
    readonly url: string;
    readonly functions: readonly { functionName: string }[];
  }[];
  readonly 'source-map-cache'?: Readonly<Record<string, CachedMap>>;
}

interface CachedMap {
  readonly lineLengths: readonly number[];
  readonly data: { readonly sources: readonly string[] } | null;
}

/**
 * esbuild adds these to keep the names of classes and functions. No line of a source belongs to them, so that c8 would take all lines
 * before a class for theirs.
 */
const ADDED = new Set(['__name', '<static_initializer>']);

/** Null: the process was killed while it wrote this. */
function read(path: string): Counts | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Counts;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    console.log(`${path} is not whole`);
    return null;
  }
}

/**
 * The counts of what was compiled from src/, alone or in a bundle, written to `own`. The rest, which c8 would read and throw away, is
 * most of a gigabyte.
 */
function keepOwn(folder: string, own: string): void {
  rmSync(own, { recursive: true, force: true });
  mkdirSync(own, { recursive: true });
  const root = pathToFileURL('src/').href;
  /** What a script was compiled to: counts of two texts cannot be added up. */
  const texts = new Map<string, string>();
  for (const name of readdirSync(folder)) {
    const counts = read(join(folder, name));
    if (counts === null) continue;
    const maps: Record<string, CachedMap> = {};
    const result = counts.result.filter(({ url }) => {
      const map = counts['source-map-cache']?.[url];
      if (!map?.data?.sources.some((source) => new URL(source, url).href.startsWith(root))) return false;
      // A worker thread has modules of its own, told apart by a query.
      const script = url.replace(/\?.*/, '');
      const text = map.lineLengths.join();
      if (!texts.has(script)) {
        texts.set(script, text);
        maps[script] = map;
      } else if (texts.get(script) !== text) {
        throw new Error(`${name} counts another text of ${script} than others do: which loader was it?`);
      }
      return true;
    });
    const kept = result.map(({ functions, ...script }) => ({
      ...script,
      functions: functions.filter(({ functionName }) => !ADDED.has(functionName)),
    }));
    if (kept.length > 0)
      writeFileSync(join(own, name), JSON.stringify({ result: kept, 'source-map-cache': maps }));
  }
}

const folder = process.argv[2]!;
const own = `${folder}-own`;
keepOwn(folder, own);
const words = [
  'c8',
  'report',
  '--src=src',
  // After source maps were followed: a program that a test bundles counts for its sources, not for itself. What is left is src/.
  '--exclude-after-remap=true',
  ...['.cache', 'test', 'bench', 'examples', 'guest-image', 'qemu', 'scripts'].map(
    (name) => `--exclude=${name}/**`,
  ),
  '--reporter=text-summary',
  '--reporter=lcovonly',
  '--reporter=json-summary',
  `--temp-directory=${own}`,
];
const { status } = spawnSync('npx', words, { stdio: 'inherit' });
if (status !== 0) throw new Error(`c8 ended with ${status}`);

const summary = JSON.parse(readFileSync('coverage/coverage-summary.json', 'utf8')) as Record<
  string,
  { lines: { pct: number } }
>;
const total = summary.total!.lines.pct;
for (const [file, { lines }] of Object.entries(summary)) {
  if (file !== 'total' && lines.pct < 80)
    console.log(`${lines.pct.toFixed(1).padStart(6)} % ${relative('.', file)}`);
}
console.log(`${total} % of the lines of src/ (at least ${LINES_PERCENT} % wanted)`);
if (!(total >= LINES_PERCENT)) process.exitCode = 1;
