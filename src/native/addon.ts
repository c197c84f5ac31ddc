import { createRequire } from 'node:module';
import { IvshmemError } from '../errors/index.ts';
import { places } from './places.ts';

/** Loads the addon from the first place that has it; the error names every path tried and why it failed. */
export function loadAddon(): unknown {
  const require = createRequire(import.meta.url);
  const tried: string[] = [];
  for (const candidate of places('addon.node', '.node')) {
    try {
      return require(candidate);
    } catch (cause) {
      tried.push(`${candidate} (${(cause as Error).message.split('\n')[0]})`);
    }
  }
  throw new IvshmemError('ERR_IVSHMEM_ADDON_ABSENT', { tried: tried.join('; ') });
}
