import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  createWriteStream,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { checkout, walk } from './cache.ts';
import { command } from './command.ts';
import { settleTree } from './ext4.ts';

const applets = [
  'sh',
  'mount',
  'insmod',
  'cat',
  'sleep',
  'poweroff',
  'basename',
  'dirname',
  'mkdir',
  'switch_root',
];
const wanted = ['virtio_blk', 'ext4', 'overlay'];

/**
 * Makes the initramfs that mounts the base image: busybox, the few modules that need, and initramfs/init. All of it is
 * taken from the base image's own tree, so the machine that builds needs neither busybox nor that kernel.
 * @param root tree of the base image
 * @param work empty scratch directory, removed at the end
 */
export async function buildInitramfs(root: string, work: string, output: string): Promise<void> {
  for (const directory of ['bin', 'modules', 'proc', 'sys', 'dev', 'root', 'base', 'programs', 'layer']) {
    mkdirSync(join(work, directory), { recursive: true });
  }
  const busybox = join(work, 'bin/busybox');
  copyFileSync(join(root, 'usr/bin/busybox'), busybox);
  chmodSync(busybox, 0o755);
  for (const applet of applets) symlinkSync('busybox', join(work, 'bin', applet));
  copyFileSync(join(checkout, 'guest-image/initramfs/init'), join(work, 'init'));
  chmodSync(join(work, 'init'), 0o755);

  const order: string[] = [];
  for (const module of await moduleFiles(root)) {
    // Unpacked here once instead of in every boot, where emulation makes it slow.
    const name = basename(module).replace(/\.(xz|zst)$/, '');
    if (order.includes(name)) continue;
    copyFileSync(join(root, module), join(work, 'modules', basename(module)));
    if (module.endsWith('.xz')) await command(busybox, ['unxz', join(work, 'modules', basename(module))]);
    if (module.endsWith('.zst'))
      await command('zstd', ['-q', '-d', '--rm', join(work, 'modules', basename(module))]);
    order.push(name);
  }
  writeFileSync(join(work, 'modules/order'), order.map((name) => `${name}\n`).join(''));
  settleTree(work);
  await pack(work, output);
  rmSync(work, { recursive: true });
}

/** The module files the boot needs, in loading order, relative to `root`. What is built in needs none. */
async function moduleFiles(root: string): Promise<string[]> {
  const [version] = readdirSync(join(root, 'usr/lib/modules'));
  const files: string[] = [];
  for (const module of wanted) {
    const args = ['--show-depends', '--dirname', join(root, 'usr'), '--set-version', version!, module];
    for (const line of (await command('modprobe', args)).split('\n')) {
      const path = /^insmod (\S+)/.exec(line)?.[1];
      if (path) files.push(path.slice(path.indexOf('usr/lib/modules')));
    }
  }
  return files;
}

async function pack(tree: string, output: string): Promise<void> {
  const args = ['--quiet', '--reproducible', '--create', '--format=newc', '--owner=+0:+0'];
  const cpio = spawn('cpio', args, { cwd: tree, stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(cpio, 'close');
  cpio.stdin.end(['.', ...walk(tree)].map((path) => `${path}\n`).join(''));
  await pipeline(cpio.stdout, createWriteStream(output));
  const [status] = await ended;
  if (status !== 0) throw new Error(`cannot pack ${output}: cpio ended with status ${status}`);
}
