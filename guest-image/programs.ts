import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { sourceLine } from './apt.ts';
import type { BaseImage } from './base.ts';
import { cacheDirectory, checkout, contentHash, publish } from './cache.ts';
import { command } from './command.ts';
import { ext4Image, settleTree } from './ext4.ts';

/** Servers and clients written by others, which tests and benchmarks run as they are. */
const programs = ['redis-server', 'postgresql', 'nginx-light', 'curl', 'iperf3'];

/**
 * Dependencies of maintainer scripts, which are not run, and of features that nobody here uses: the compiler of
 * PostgreSQL's queries alone is as large as all the rest. Nothing that a program is linked with.
 */
const unneeded =
  /^(perl|perl-modules-.*|libperl.*|lib.*-perl|libgdbm.*|postgresql|postgresql-common.*|postgresql-client-common|libllvm.*|libz3-.*|locales|libc-l10n|ssl-cert|openssl|adduser|ucf|sensible-utils|libnginx-mod-.*)$/;

/** What no guest reads, and the parts of PostgreSQL that need its query compiler: it does without where they are absent. */
const excluded = [
  ...['doc', 'man', 'locale', 'lintian'].map((part) => `./usr/share/${part}`),
  './usr/lib/postgresql/*/lib/llvmjit*',
  './usr/lib/postgresql/*/lib/bitcode',
];

const building = new Map<string, Promise<void>>();

/**
 * The disk with other people's programs, a layer above the base image that VMs with `programs: true` mount. Built when
 * the cache has none for that base image: packages and the libraries the base image lacks, unpacked, not configured.
 * @param base says what is there already
 * @throws Error when it has to be built and a tool, root rights or the archive are missing
 */
export async function programsImage(
  base: BaseImage,
  log: (line: string) => void = () => {},
): Promise<string> {
  const script = readFileSync(join(checkout, 'guest-image/programs.ts'), 'utf8');
  const hash = contentHash([basename(dirname(base.disk)), script], []);
  const place = join(cacheDirectory('images'), `programs-${hash}`);
  const image = join(place, 'programs.ext4');
  if (existsSync(image)) return image;
  // VMs that start together wait for one build.
  let build = building.get(place);
  if (!build) {
    build = buildLayer(base, place, log);
    building.set(place, build);
    build.finally(() => building.delete(place)).catch(() => {});
  }
  await build;
  return image;
}

async function buildLayer(base: BaseImage, place: string, log: (line: string) => void): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new Error('cannot build the disk of programs: files owned by root need root. Run as root once.');
  }
  const work = mkdtempSync(`${place}.work-`);
  try {
    log(`fetching ${programs.join(', ')} of Debian ${base.suite}`);
    const packages = await fetchPackages(base, join(work, 'apt'));
    log(`packing ${packages.length} packages`);
    const root = join(work, 'root');
    // Older packages have files in /lib, which is a link in the base image and has to stay one.
    for (const directory of ['bin', 'sbin', 'lib', 'lib64']) {
      mkdirSync(join(root, 'usr', directory), { recursive: true });
      symlinkSync(`usr/${directory}`, join(root, directory));
    }
    await unpack(join(work, 'apt/packages'), root);
    settleTree(root);
    await ext4Image(root, join(work, 'programs.ext4'), 'ivshmem-programs');
    writeFileSync(join(work, 'packages.txt'), packages.map((one) => `${one.replace('=', ' ')}\n`).join(''));
    for (const done of ['root', 'apt']) rmSync(join(work, done), { recursive: true });
    chmodSync(work, 0o755);
    publish(work, place);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  log(`built ${place}`);
}

/** Downloads what apt would install on the base image, to `packages` in `work`. Returns `name=version` of each, sorted. */
async function fetchPackages({ disk, suite }: BaseImage, work: string): Promise<string[]> {
  for (const directory of ['lists/partial', 'archives/partial', 'packages'])
    mkdirSync(join(work, directory), { recursive: true });
  const [sources, status] = [join(work, 'sources.list'), join(work, 'status')];
  writeFileSync(sources, `${await sourceLine(suite)}\n`);
  await command('debugfs', ['-R', `dump /var/lib/dpkg/status ${status}`, disk]);
  const settings = [
    `Dir::Etc::sourcelist=${sources}`,
    'Dir::Etc::sourceparts=/dev/null',
    'Dir::Etc::preferencesparts=/dev/null',
    `Dir::State::lists=${join(work, 'lists')}`,
    `Dir::State::status=${status}`,
    `Dir::Cache=${work}`,
    'APT::Sandbox::User=root',
    'APT::Install-Recommends=false',
    'Acquire::Languages=none',
  ].flatMap((setting) => ['-o', setting]);
  await command('apt-get', [...settings, '-qq', 'update']);
  const plan = await command('apt-get', [...settings, '--simulate', 'install', ...programs]);
  const packages = [...plan.matchAll(/^Inst (\S+) (?:\[\S+\] )?\((\S+) /gm)]
    .filter(([, name]) => !unneeded.test(name!))
    .map(([, name, version]) => `${name}=${version}`)
    .sort();
  // It downloads to where it is run.
  const download = ['apt-get', ...settings, '-qq', 'download', ...packages];
  await command('env', [`--chdir=${join(work, 'packages')}`, ...download]);
  return packages;
}

async function unpack(packages: string, root: string): Promise<void> {
  const tar = ['tar', '--extract', '--numeric-owner', '--keep-directory-symlink', `--directory=${root}`];
  const words = [...tar, ...excluded.map((path) => `'--exclude=${path}'`)].join(' ');
  const script = `for package in ${packages}/*.deb; do dpkg-deb --fsys-tarfile "$package" | ${words} || exit 1; done`;
  await command('bash', ['-o', 'pipefail', '-c', script]);
}
