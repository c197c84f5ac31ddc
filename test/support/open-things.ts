import { readdirSync, readFileSync } from 'node:fs';

/** What this process has open: descriptors, directories it watches, mappings of files in a folder. */
export function openThings(folder: string): { descriptors: number; watches: number; mappings: number } {
  let watches = 0;
  const descriptors = readdirSync('/proc/self/fdinfo');
  for (const fd of descriptors) {
    try {
      watches += readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1').split('inotify wd:').length - 1;
    } catch (error) {
      // The one that the list was read with.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  const maps = readFileSync('/proc/self/maps', 'latin1').split('\n');
  return {
    descriptors: descriptors.length,
    watches,
    mappings: maps.filter((line) => line.includes(folder)).length,
  };
}
