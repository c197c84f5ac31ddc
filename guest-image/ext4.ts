import { lutimesSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { walk } from './cache.ts';
import { command } from './command.ts';

/** The time every file of an image carries at most (2025-01-01 UTC), so that equal content gives equal bytes. */
export const imageEpoch = 1735689600;

// Any constants do: they only have to be the same in every build.
const uuid = '6976736d-656d-4000-8000-000000000001';
const hashSeed = '6976736d-656d-4000-8000-000000000002';

/**
 * Makes a small ext4 image of a directory tree, for read-only use: no journal, no spare room.
 * The same tree gives the same bytes, whoever builds it and when; owners are kept as they are on disk.
 * @param label volume label, at most 16 characters
 */
export async function ext4Image(tree: string, image: string, label: string): Promise<void> {
  const mebibytes = Number((await command('du', ['-sm', tree])).split('\t')[0]);
  // mke2fs spreads inodes over block groups and does not fill each to the last.
  const inodes = Math.ceil(walk(tree).length * 1.25) + 256;
  const size = Math.ceil(mebibytes * 1.15 + inodes / 4096) + 4;
  const features = '^has_journal,^metadata_csum,^resize_inode';
  const options = [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-O',
    features,
    '-m',
    '0',
    '-N',
    String(inodes),
    '-L',
    label,
    '-U',
    uuid,
  ];
  const extended = `hash_seed=${hashSeed},root_owner=0:0,lazy_itable_init=0`;
  const clock = { E2FSPROGS_FAKE_TIME: String(imageEpoch) };
  await command('mke2fs', [...options, '-E', extended, '-d', tree, image, `${size}M`], clock);
  await settleTimes(image, inodes);
}

// mke2fs copies the change and access times of the files it reads, which no program can set beforehand.
async function settleTimes(image: string, inodes: number): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'ivshmem-ext4-'));
  try {
    const fields = ['ctime', 'atime'].flatMap((name) => [`${name} @${imageEpoch}`, `${name}_extra 0`]);
    const script = Array.from({ length: inodes }, (_, index) =>
      fields.map((field) => `set_inode_field <${index + 1}> ${field}\n`).join(''),
    );
    writeFileSync(join(work, 'script'), script.join(''));
    await command('debugfs', ['-w', '-f', join(work, 'script'), image], {
      E2FSPROGS_FAKE_TIME: String(imageEpoch),
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Gives every file of a tree one modification time, for trees this program has just written itself. */
export function settleTree(tree: string): void {
  for (const path of ['', ...walk(tree)]) lutimesSync(join(tree, path), imageEpoch, imageEpoch);
}
