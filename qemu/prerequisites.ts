import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** What building, booting and testing need besides Node: a Debian package, and what shows that it is there. */
interface Prerequisite {
  readonly package: string;
  /** A program in PATH or the administrator's directories, or an absolute path. */
  readonly shows: string;
  readonly why: string;
  /** Some tests are skipped without it, and say so; nothing else needs it. */
  readonly optional?: true;
}

const prerequisites: readonly Prerequisite[] = [
  { package: 'g++', shows: 'g++', why: 'to compile the native addon' },
  { package: 'make', shows: 'make', why: 'to compile the native addon' },
  { package: 'python3', shows: 'python3', why: 'node-gyp runs in it' },
  { package: 'qemu-system-x86', shows: 'qemu-system-x86_64', why: 'to run VMs' },
  { package: 'util-linux', shows: 'setpriv', why: 'so that VMs die with their launcher' },
  { package: 'iproute2', shows: 'ip', why: 'to make network namespaces, bridges and taps' },
  { package: 'iputils-ping', shows: 'ping', why: 'to test the IP interface', optional: true },
  { package: 'iperf3', shows: 'iperf3', why: 'to test the IP interface', optional: true },
  {
    package: 'etcd-server',
    shows: 'etcd',
    why: 'to test hosts that find each other in etcd',
    optional: true,
  },
  {
    package: 'openssl',
    shows: 'openssl',
    why: 'to make certificates for tests of several hosts',
    optional: true,
  },
  {
    package: 'chromium',
    shows: 'chromium',
    why: "to look at a study's report as a reader does",
    optional: true,
  },
  { package: 'mmdebstrap', shows: 'mmdebstrap', why: 'to install the guest' },
  {
    package: 'debian-archive-keyring',
    // The first release of the keyring package that knows the guest's suite brings this file.
    shows: '/usr/share/keyrings/debian-archive-trixie-stable.gpg',
    why: "to verify the guest's packages",
  },
  { package: 'e2fsprogs', shows: 'mke2fs', why: 'to make disk images' },
  { package: 'cpio', shows: 'cpio', why: 'to make the initramfs' },
  { package: 'clang', shows: 'clang', why: 'to fuzz the C++ ring', optional: true },
  {
    package: 'libclang-rt-14-dev',
    shows: '/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.fuzzer-x86_64.a',
    why: 'to fuzz the C++ ring',
    optional: true,
  },
  { package: 'spin', shows: 'spin', why: 'to check the model of the doorbell protocol', optional: true },
  { package: 'kmod', shows: 'modprobe', why: "to list the initramfs's modules" },
];

/** The prerequisites that are not there. */
export function missingPrerequisites(): readonly Prerequisite[] {
  return prerequisites.filter(({ shows }) => !isThere(shows));
}

function isThere(shows: string): boolean {
  if (shows.startsWith('/')) return existsSync(shows);
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return directories.some((directory) => {
    try {
      accessSync(join(directory, shows), constants.X_OK);
      return true;
    } catch {
      return false; // Not in this directory, which is all the question was.
    }
  });
}

/** Runs a program with the terminal; whether it succeeded. */
function run(words: readonly string[]): boolean {
  console.error(`prerequisites: ${words.join(' ')}`);
  const { status, error } = spawnSync(words[0]!, words.slice(1), { stdio: 'inherit' });
  if (error) console.error(`prerequisites: ${error.message}`);
  return status === 0;
}

/** Says what is missing, installs it with apt-get where that is possible, and exits with 1 if something stays missing. */
function main(): void {
  const missing = missingPrerequisites();
  for (const { package: name, shows, why } of missing)
    console.error(`prerequisites: ${shows} (${name}) is missing, ${why}`);
  if (missing.length === 0) {
    console.error('prerequisites: all there');
    return;
  }
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo'];
  if (!isThere('apt-get') || (asRoot.length > 0 && !isThere('sudo'))) {
    console.error(`prerequisites: install these by hand: ${missing.map((one) => one.package).join(' ')}`);
    process.exit(1);
  }
  const install = [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', 'install', '--yes'];
  const packages = (some: readonly Prerequisite[]) => [...new Set(some.map((one) => one.package))];
  const needed = missing.filter((one) => !one.optional);
  if (!run([...asRoot, 'apt-get', 'update'])) process.exit(1);
  if (needed.length > 0 && !run([...install, '--no-install-recommends', ...packages(needed)]))
    process.exit(1);
  // One by one: a release that lacks one still has the others.
  for (const name of packages(missing.filter((one) => one.optional)))
    run([...install, '--no-install-recommends', name]);
  const still = missingPrerequisites();
  for (const { package: name, shows } of still) console.error(`prerequisites: ${name} brought no ${shows}`);
  if (still.some((one) => !one.optional)) process.exit(1);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main();
