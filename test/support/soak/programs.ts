import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from '../../../guest-image/bundle.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export interface Programs {
  readonly directory: string;
  readonly server: string;
  readonly worker: string;
  readonly survivor: string;
  remove(): void;
}

/** Compiles the soak's programs once: thousands of them are started, and a compiler in each would take most of the time. */
export async function buildPrograms(): Promise<Programs> {
  const directory = mkdtempSync(join(tmpdir(), 'ivshmem-soak-'));
  // As in the package: the command finds package.json two folders up, and all find the addon beside them.
  const place = join(directory, 'dist/cli');
  mkdirSync(place, { recursive: true });
  const entries = { server: '../../../src/cli/main.ts', worker: 'worker.ts', survivor: 'survivor.ts' };
  for (const [name, entry] of Object.entries(entries))
    writeFileSync(join(place, `${name}.mjs`), await bundle(here(entry)));
  cpSync(here('../../../native/build/Release/addon.node'), join(place, 'addon.node'));
  cpSync(here('../../../package.json'), join(directory, 'package.json'));
  return {
    directory,
    server: join(place, 'server.mjs'),
    worker: join(place, 'worker.mjs'),
    survivor: join(place, 'survivor.mjs'),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
