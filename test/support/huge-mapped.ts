import { readFileSync } from 'node:fs';

/** Bytes of the memfds of this name that this process sees through huge pages right now. */
export function hugeMapped(name: string): number {
  let counts = false;
  let kilobytes = 0;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) counts = line.includes(`/memfd:${name} `);
    const huge = /^(?:ShmemPmdMapped|FilePmdMapped): +(\d+) kB/.exec(line);
    if (counts && huge !== null) kilobytes += Number(huge[1]);
  }
  return kilobytes * 1024;
}
