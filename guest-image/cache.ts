import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The top of the checkout. */
export const checkout = dirname(dirname(fileURLToPath(import.meta.url)));

/** Where built images and verdicts are kept: IVSHMEM_CACHE, or `.cache` in the checkout. Creates the directory. */
export function cacheDirectory(...segments: string[]): string {
  const directory = join(process.env.IVSHMEM_CACHE ?? join(checkout, '.cache'), ...segments);
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** Every path below `root` (not `root` itself), relative, parents first, sorted; links are named, not followed. */
export function walk(root: string, below = ''): string[] {
  // Not `recursive: true`: Node 20 follows links to directories with it.
  const entries = readdirSync(join(root, below), { withFileTypes: true });
  return entries
    .flatMap((entry) => {
      const path = join(below, entry.name);
      return entry.isDirectory() ? [path, ...walk(root, path)] : [path];
    })
    .sort();
}

/** A hash over some text and over names, modes and contents of the trees given. Times and owners do not count. */
export function contentHash(texts: readonly string[], trees: readonly string[]): string {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(`${text.length}:${text}`);
  for (const tree of trees) {
    for (const path of ['', ...walk(tree)]) {
      const full = join(tree, path);
      const stat = lstatSync(full);
      hash.update(`\0${path}\0${stat.mode}\0`);
      if (stat.isFile()) hash.update(readFileSync(full));
      else if (stat.isSymbolicLink()) hash.update(readlinkSync(full));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

/**
 * Moves a finished work file or directory to its place in the cache. Two builders may race to the same place: they
 * made the same content, so the one that comes second drops its own.
 */
export function publish(work: string, place: string): void {
  try {
    renameSync(work, place);
  } catch (error) {
    if (!existsSync(place)) throw error;
    rmSync(work, { recursive: true, force: true });
  }
}
