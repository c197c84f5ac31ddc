/** The house rules a compiler does not check: which way imports point, how long files are, which words are used. */
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';
import { globSync } from 'tinyglobby';

/** Folder of src/ -> level. A file may import its own folder and lower levels only. */
const level: Readonly<Record<string, number>> = {
  errors: 0,
  native: 0,
  pci: 1,
  memory: 1,
  backend: 2,
  vfio: 2,
  ivshmem: 3,
  membership: 3,
  virtqueue: 3,
  channel: 4,
  virtio: 4,
  testing: 5,
  setup: 5,
  demo: 5,
  net: 5,
  dsm: 5,
  tun: 5,
  observe: 5,
  metrics: 5,
  host: 6,
  transparent: 6,
  migrate: 7,
  study: 7,
  cli: 8,
};
/** Pairs on one level of which the first may import the second: a backend is built on the VFIO binding, the addon's loader raises errors. */
const allowedSiblings = new Set(['backend>vfio', 'native>errors']);

const sources = globSync('src/**/*.ts');
const folderOf = (file: string): string => (file.split('/').length > 2 ? file.split('/')[1]! : '');

/** The relative paths that a file imports: for names, for what they do, or on demand. */
function importsOf(file: string): string[] {
  const imports = readFileSync(file, 'utf8').matchAll(/\b(?:from|import)\s*\(?\s*'(\.[^']+)'/g);
  return [...imports].map(([, target]) => target!);
}

t.test('imports point downward and siblings do not know each other', (t) => {
  for (const file of sources) {
    const from = folderOf(file);
    if (from === '') continue;
    t.ok(from in level, `${from}/ has a level`);
    for (const target of importsOf(file)) {
      const to = folderOf(normalize(join(dirname(file), target)));
      if (to === from) continue;
      // src/index.ts is the public face: only commands stand above it.
      const fine =
        to === '' ? from === 'cli' : level[to]! < level[from]! || allowedSiblings.has(`${from}>${to}`);
      if (!fine) t.fail(`${file} imports ${target}`);
    }
  }
  t.end();
});

/** The same within the server: folder of src/host/ -> level; the files beside them are the top, but for the log. */
const serverLevel: Readonly<Record<string, number>> = {
  sockets: 0,
  control: 1,
  config: 2,
  records: 2,
  region: 3,
  restart: 3,
  clients: 4,
  metrics: 4,
  hosts: 4,
  serve: 5,
};

t.test('imports of the server point downward', (t) => {
  const partOf = (file: string): string => (file.split('/').length > 3 ? file.split('/')[2]! : '');
  for (const file of sources.filter((source) => source.startsWith('src/host/'))) {
    const from = partOf(file);
    if (from === '') continue;
    t.ok(from in serverLevel, `${from}/ has a level`);
    for (const target of importsOf(file)) {
      const path = normalize(join(dirname(file), target));
      const to = partOf(path);
      if (!path.startsWith('src/host/') || path === 'src/host/log.ts' || to === from) continue;
      if (to === '' || !(serverLevel[to]! < serverLevel[from]!)) t.fail(`${file} imports ${target}`);
    }
  }
  t.end();
});

t.test('no file is over 400 lines', (t) => {
  const files = globSync(
    ['{src,test,qemu,guest-image,bench,examples,scripts}/**/*.ts', 'native/**/*.{cc,h,c}'],
    {
      ignore: ['**/node_modules/**', '**/build/**', '**/build-*/**'],
    },
  );
  for (const file of files) {
    const lines = readFileSync(file, 'utf8').split('\n').length;
    if (lines > 400) t.fail(`${file} has ${lines} lines`);
  }
  t.ok(files.length > 50);
  t.end();
});

t.test("names are the specifications' nouns", (t) => {
  const refused = /\b(master|slave|kick|kicks|kicked|whitelist|blacklist)\b/i;
  for (const file of sources) {
    readFileSync(file, 'utf8')
      .split('\n')
      .forEach((line, index) => {
        // QEMU's own property is called master; naming it in quotes is allowed.
        if (refused.test(line.replace(/[`'"][^`'"]*[`'"]/g, '').replace(/[Bb]us ?[Mm]aster\w*/g, '')))
          t.fail(`${file}:${index + 1} ${line.trim()}`);
      });
  }
  t.end();
});
