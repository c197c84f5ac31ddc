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
}

const prerequisites: readonly Prerequisite[] = [
  { package: 'g++', shows: 'g++', why: 'to compile the native addon' },
  { package: 'make', shows: 'make', why: 'to compile the native addon' },
  { package: 'python3', shows: 'python3', why: 'node-gyp runs in it' },
  { package: 'qemu-system-x86', shows: 'qemu-system-x86_64', why: 'to run VMs' },
  { package: 'util-linux', shows: 'setpriv', why: 'so that VMs die with their launcher' },
  { package: 'iproute2', shows: 'ip', why: 'to make network namespaces, bridges and taps' },
  { package: 'mmdebstrap', shows: 'mmdebstrap', why: 'to install the guest' },
  {
    package: 'debian-archive-keyring',
    // The first release of the keyring package that knows the guest's suite brings this file.
    shows: '/usr/share/keyrings/debian-archive-trixie-stable.gpg',
    why: "to verify the guest's packages",
  },
  { package: 'e2fsprogs', shows: 'mke2fs', why: 'to make disk images' },
  { package: 'cpio', shows: 'cpio', why: 'to make the initramfs' },
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

/** Runs a program with the terminal; exits with its status when it fails. */
function insist(words: readonly string[]): void {
  console.error(`prerequisites: ${words.join(' ')}`);
  const { status, error } = spawnSync(words[0]!, words.slice(1), { stdio: 'inherit' });
  if (error) console.error(`prerequisites: ${error.message}`);
  if (status !== 0) process.exit(1);
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
  const packages = [...new Set(missing.map((one) => one.package))];
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo'];
  if (!isThere('apt-get') || (asRoot.length > 0 && !isThere('sudo'))) {
    console.error(`prerequisites: install these by hand: ${packages.join(' ')}`);
    process.exit(1);
  }
  insist([...asRoot, 'apt-get', 'update']);
  const install = ['apt-get', 'install', '--yes', '--no-install-recommends', ...packages];
  insist([...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', ...install]);
  const still = missingPrerequisites();
  for (const { package: name, shows } of still)
    console.error(`prerequisites: ${name} is installed but brought no ${shows}`);
  if (still.length > 0) process.exit(1);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main();
