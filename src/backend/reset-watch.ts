import { watch } from 'node:fs';

/**
 * Calls back after somebody has reset the device through sysfs. The kernel tells no driver's user of that, but a write to the
 * attribute is a write to a file, which inotify tells of when it is done; of the directory, for the attribute itself is readable by
 * nobody. It does not keep the process alive. Returns a function that stops watching, idempotent.
 *
 * Where nothing can be watched (inotify used up), and for a reset of the bridge above, `lost()` of the backend is left: a
 * device that is being reset answers with all ones.
 */
export function watchReset(directory: string, onReset: () => void): () => void {
  try {
    const watcher = watch(directory, { persistent: false }, (event, name) => {
      if (event === 'change' && name === 'reset') onReset();
    });
    watcher.on('error', () => watcher.close());
    return () => watcher.close();
  } catch {
    return () => {};
  }
}
