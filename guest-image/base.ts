import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { aptOptions, sourceLine } from './apt.ts';
import { cacheDirectory, checkout, contentHash, publish } from './cache.ts';
import { command } from './command.ts';
import { ext4Image, imageEpoch } from './ext4.ts';
import { buildInitramfs } from './initramfs.ts';

/** Packages of the base image besides the kernel and Debian's essential ones. */
const packages = ['nodejs', 'kmod', 'iproute2', 'pciutils', 'procps', 'util-linux', 'busybox-static'];

/** Left out of every package: nothing a guest reads, and half of the size. */
const excluded = [
  '/usr/share/doc/*',
  '/usr/share/man/*',
  '/usr/share/locale/*',
  ...[
    'sound',
    'drivers/gpu',
    'drivers/media',
    'drivers/net/wireless',
    'drivers/net/ethernet',
    'drivers/infiniband',
  ].map((part) => `/usr/lib/modules/*/kernel/${part}/*`),
];

/** A bootable guest without a payload. All three are read-only and shared by every VM. */
export interface BaseImage {
  /** Debian suite. */
  readonly suite: string;
  readonly disk: string;
  readonly kernel: string;
  readonly initramfs: string;
}

export interface BaseImageOptions {
  /** Debian suite of the guest: SUITE, or trixie. */
  readonly suite?: string;
  /** Debian package of the guest's kernel: KERNEL, or linux-image-amd64. */
  readonly kernel?: string;
  /** Told what is being done when an image has to be built. */
  readonly log?: (line: string) => void;
}

/**
 * The base image for a suite and a kernel, built when the cache has none made of the same packages and scripts.
 * @throws Error when it has to be built and a tool, root rights or the archive are missing.
 */
export async function baseImage(options: BaseImageOptions = {}): Promise<BaseImage> {
  const suite = options.suite ?? process.env.SUITE ?? 'trixie';
  const kernel = options.kernel ?? process.env.KERNEL ?? 'linux-image-amd64';
  const directory = join(checkout, 'guest-image');
  const scripts = ['base.ts', 'initramfs.ts', 'ext4.ts'].map((name) =>
    readFileSync(join(directory, name), 'utf8'),
  );
  const hash = contentHash(
    [suite, kernel, ...scripts],
    [join(directory, 'initramfs'), join(directory, 'root')],
  );
  const place = join(cacheDirectory('images'), `${suite}-${hash}`);
  if (!existsSync(place)) await build(suite, kernel, place, options.log ?? (() => {}));
  return {
    suite,
    disk: join(place, 'base.ext4'),
    kernel: join(place, 'vmlinuz'),
    initramfs: join(place, 'initramfs'),
  };
}

async function build(
  suite: string,
  kernel: string,
  place: string,
  log: (line: string) => void,
): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new Error(
      'cannot build the guest image: files owned by root need root. Run `sudo make image` once.',
    );
  }
  const work = mkdtempSync(`${place}.work-`);
  try {
    const root = join(work, 'root');
    log(`installing ${kernel} and ${packages.length} packages of Debian ${suite}`);
    await bootstrap(suite, kernel, join(work, 'root.tar'));
    mkdirSync(root);
    await command('tar', [
      '--extract',
      '--numeric-owner',
      '--file',
      join(work, 'root.tar'),
      '--directory',
      root,
    ]);
    rmSync(join(work, 'root.tar'));

    log('packing the initramfs and the disk');
    const [version] = readdirSync(join(root, 'usr/lib/modules'));
    copyFileSync(join(root, `boot/vmlinuz-${version}`), join(work, 'vmlinuz'));
    rmSync(join(root, 'boot'), { recursive: true });
    await buildInitramfs(root, join(work, 'initramfs.work'), join(work, 'initramfs'));
    writeFileSync(join(work, 'packages.txt'), installed(root));
    await ext4Image(root, join(work, 'base.ext4'), 'ivshmem-base');
    rmSync(root, { recursive: true });
    chmodSync(work, 0o755);
    publish(work, place);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  log(`built ${place}`);
}

async function bootstrap(suite: string, kernel: string, tar: string): Promise<void> {
  const root = join(checkout, 'guest-image/root');
  const hooks = [
    'chroot "$1" useradd --uid 1000 --create-home --shell /bin/bash app',
    // The image must not depend on where this machine takes its packages from.
    'rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap',
    'rm -f "$1"/etc/hostname "$1"/etc/resolv.conf',
    `install -m 0755 ${root}/init "$1"/init`,
    'mkdir -p "$1"/payload',
  ];
  const args = [
    '--variant=minbase',
    `--include=${[kernel, ...packages].join(',')}`,
    ...excluded.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
    ...(await aptOptions()).map((option) => `--aptopt=${option}`),
    ...hooks.map((hook) => `--customize-hook=${hook}`),
    suite,
    tar,
    await sourceLine(suite),
  ];
  // INITRD=No: the kernel package would otherwise build an initramfs of its own, which nothing uses.
  await command('mmdebstrap', args, { SOURCE_DATE_EPOCH: String(imageEpoch), INITRD: 'No' });
}

/** `name version` of every package in a tree, so that a result can be told from a later one of the same suite. */
function installed(root: string): string {
  const status = readFileSync(join(root, 'var/lib/dpkg/status'), 'utf8');
  const rows = status.split('\n\n').flatMap((entry) => {
    const name = /^Package: (.*)$/m.exec(entry)?.[1];
    return name ? [`${name} ${/^Version: (.*)$/m.exec(entry)?.[1]}\n`] : [];
  });
  return rows.sort().join('');
}
