/** What the documents name exists: links, commands and their options, make targets, npm scripts, files, and code that compiles. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import t from 'tap';
import { globSync } from 'tinyglobby';
import { catalogue } from '../src/errors/index.ts';
import { REFUSED_ADMISSION, REFUSED_FD_LIMIT, REFUSED_FULL } from '../src/host/sockets/handshake.ts';
import { runToEnd } from './support/native-build.ts';

const documents = globSync('**/*.md', {
  ignore: ['**/node_modules/**', '.cache/**', '**/build/**', 'study/**'],
  dot: false,
});
const read = (path: string): string => readFileSync(path, 'utf8');

interface Code {
  readonly language: string;
  readonly text: string;
}

/** Fenced blocks, and code spans with the language 'span'. */
function codeOf(markdown: string): Code[] {
  const code: Code[] = [];
  const prose = markdown.replace(/^```(\w*)\n(.*?)^```/gms, (_, language: string, text: string) => {
    code.push({ language, text });
    return '';
  });
  for (const [, text] of prose.matchAll(/`([^`\n]+)`/g)) code.push({ language: 'span', text: text! });
  return code;
}

/** Lines that a reader would type: of shell blocks and code spans, comments taken off. */
function commandLines(markdown: string): string[] {
  return codeOf(markdown)
    .filter(({ language }) => ['', 'sh', 'bash', 'console', 'span'].includes(language))
    .flatMap(({ text }) => text.replaceAll('\\\n', ' ').split('\n'))
    .map((line) =>
      line
        .replace(/\s#\s.*$/, '')
        .replace(/^\$ /, '')
        .trim(),
    );
}

/** GitHub's anchor of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

t.test('every relative link leads somewhere', async (t) => {
  let links = 0;
  for (const document of documents) {
    const prose = read(document).replace(/^```.*?^```/gms, '');
    for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue;
      links++;
      const [path, anchor] = target!.split('#') as [string, string?];
      const file = path === '' ? document : join(dirname(document), path);
      if (!existsSync(file)) t.fail(`${document}: ${target} is not there`);
      else if (anchor !== undefined) {
        const anchors = [...read(file).matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1]!));
        if (!anchors.includes(anchor)) t.fail(`${document}: ${target} has no such heading`);
      }
    }
  }
  t.ok(links > 50, `${links} links`);
});

t.test('every make target is one', async (t) => {
  const targets = new Set([...read('Makefile').matchAll(/^([a-z][\w-]*):/gm)].map((match) => match[1]!));
  let named = 0;
  for (const document of documents) {
    for (const line of commandLines(read(document))) {
      const target = /^(?:sudo )?make ([a-z][\w-]*)/.exec(line)?.[1];
      if (target === undefined) continue;
      named++;
      if (!targets.has(target)) t.fail(`${document}: make ${target}`);
    }
  }
  t.ok(named > 5, `${named} of them`);
});

t.test('every npm script is one', async (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const document of documents) {
    for (const line of commandLines(read(document))) {
      const script = /^npm run ([\w:-]+)/.exec(line)?.[1];
      if (script !== undefined && !(script in scripts)) t.fail(`${document}: npm run ${script}`);
    }
  }
  t.ok('build:native' in scripts);
});

/** The commands as src/cli/main.ts lists them. */
async function realCommands(): Promise<Map<string, Command>> {
  const program = new Command();
  for (const [, file] of read('src/cli/main.ts').matchAll(
    /import \{ register as \w+ \} from '\.\/([\w-]+)\.ts'/g,
  )) {
    const { register } = (await import(`../src/cli/${file}.ts`)) as { register: (program: Command) => void };
    register(program);
  }
  return new Map(program.commands.map((command) => [command.name(), command]));
}

t.test('every ivshmem command and option is one', async (t) => {
  const commands = await realCommands();
  // What errors tell people to type counts as well.
  const remedies = globSync([
    'src/errors/*.ts',
    'src/membership/refusal.ts',
    'src/backend/*.ts',
    'src/setup/**/*.ts',
  ]);
  let named = 0;
  const check = (file: string, line: string): void => {
    const match = /^(?:sudo )?(?:npx )?ivshmem ([a-z][\w-]*)(.*)$/.exec(line);
    if (match === null) return;
    named++;
    const group = commands.get(match[1]!);
    const [, word] = /^ ([a-z][\w-]*)/.exec(match[2]!) ?? [];
    const nested = (group?.commands.length ?? 0) > 0 && word !== undefined;
    const command = nested ? group?.commands.find((one) => one.name() === word) : group;
    if (command === undefined) {
      t.fail(`${file}: ivshmem ${match[1]}${nested ? ` ${word}` : ''}`);
      return;
    }
    for (const [option] of match[2]!.matchAll(/(?<=\s)--[a-z][\w-]*/g)) {
      const known = option === '--help' || command.options.some(({ long }) => long === option);
      if (!known) t.fail(`${file}: ivshmem ${match[1]} ${option}`);
    }
  };
  for (const document of documents) for (const line of commandLines(read(document))) check(document, line);
  for (const file of remedies)
    for (const [, span] of read(file).matchAll(/\\?`(ivshmem [^`\\]+|sudo ivshmem [^`\\]+)\\?`/g))
      check(file, span!);
  t.ok(named > 20, `${named} of them`);
});

t.test('what QEMU says of a refusal can be looked up', async (t) => {
  for (const version of [REFUSED_ADMISSION, REFUSED_FULL, REFUSED_FD_LIMIT]) {
    t.match(read('docs/server.md'), `server sent version ${version},`);
    t.match(read('docs/troubleshooting.md'), String(version));
  }
});

t.test('every error code that a document names is in the catalogue', async (t) => {
  for (const document of documents)
    for (const [code] of read(document).matchAll(/ERR_IVSHMEM_[A-Z_]*[A-Z]/g))
      if (!(code in catalogue)) t.fail(`${document}: ${code}`);
  t.ok('ERR_IVSHMEM_CLOSED' in catalogue);
});

t.test('every decision is in the index', async (t) => {
  const index = read('docs/decisions/README.md');
  const pages = globSync('docs/decisions/*.md').map((path) => path.split('/').at(-1)!);
  for (const page of pages)
    if (page !== 'README.md' && !index.includes(`(${page})`))
      t.fail(`${page} is not in docs/decisions/README.md`);
  t.ok(pages.length > 5);
});

t.test('every file that a document names is there', async (t) => {
  const folders = 'src|test|docs|scripts|qemu|guest-image|bench|examples|native|systemd';
  for (const document of documents) {
    for (const { language, text } of codeOf(read(document))) {
      if (language !== 'span' || !new RegExp(`^(?:${folders})/[\\w./-]+$`).test(text)) continue;
      // A document beside the file may also name it from where it stands; what is built is not there before.
      const places = [text, join(dirname(document), text)];
      if (/^native\/(test\/)?build|^bench\/(node_modules|results)/.test(text)) continue;
      if (!places.some((place) => existsSync(place))) t.fail(`${document}: ${text}`);
    }
  }
  t.ok(documents.length > 15);
});

t.test('the snippets of README and the API compile', async (t) => {
  mkdirSync('.cache', { recursive: true });
  const folder = mkdtempSync(resolve('.cache/snippets-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  /** What the API page says of names that a snippet does not make itself. */
  const given: Readonly<Record<string, string>> = {
    region: "import('ivshmem').Region",
    channel: "import('ivshmem').Channel",
    bytes: 'Uint8Array',
  };
  const files: string[] = [];
  for (const document of ['README.md', 'docs/api.md', 'docs/membership.md']) {
    const snippets = codeOf(read(document)).filter(({ language }) => language === 'ts');
    t.ok(snippets.length > 1, `${document} has ${snippets.length}`);
    snippets.forEach(({ text }, index) => {
      const makes = (name: string): boolean =>
        new RegExp(`(const|let|of) ${name}\\b|const ${name} of`).test(text);
      const prelude = Object.entries(given)
        .filter(([name]) => !makes(name))
        .map(([name, type]) => `declare const ${name}: ${type};`);
      const name = `${document.replaceAll(/\W/g, '-')}-${index + 1}.ts`;
      writeFileSync(join(folder, name), `${text}\nexport {};\n${prelude.join(' ')}\n`);
      files.push(name);
    });
  }
  const source = (path: string): string[] => [resolve('src', path)];
  const settings = {
    extends: resolve('tsconfig.json'),
    compilerOptions: {
      rootDir: resolve('.'),
      types: ['node'],
      typeRoots: [resolve('node_modules/@types')],
      paths: {
        ivshmem: source('index.ts'),
        'ivshmem/vfio': source('vfio/index.ts'),
        'ivshmem/virtqueue': source('virtqueue/index.ts'),
        'ivshmem/metrics': source('metrics/index.ts'),
        'ivshmem/net': source('net/index.ts'),
        'ivshmem/tun': source('tun/index.ts'),
        'ivshmem/server': source('host/index.ts'),
      },
    },
    include: [],
    files,
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings));
  const { code, output } = await runToEnd(
    'npx',
    ['tsc', '--noEmit', '--pretty', 'false', '-p', folder],
    110_000,
  );
  t.equal(code, 0, 'they compile', code === 0 ? {} : { output });
});
