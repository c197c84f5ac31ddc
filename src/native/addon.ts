import { createRequire } from 'node:module';
import { IvshmemError } from '../errors/index.ts';

/**
 * Beside a bundle; the two build folders of a checkout; inside the published package. A checkout's own build comes before
 * prebuilds/, which may be older than it; the package has no native/build.
 */
const candidates = [
  './addon.node',
  '../../native/build/Release/addon.node',
  '../../native/build/Debug/addon.node',
  `../../prebuilds/${process.platform}-${process.arch}.node`,
];

/** Loads the addon from the first place that has it; the error names every path tried and why it failed. */
export function loadAddon(): unknown {
  const require = createRequire(import.meta.url);
  const tried: string[] = [];
  for (const candidate of candidates) {
    try {
      return require(candidate);
    } catch (cause) {
      tried.push(`${candidate} (${(cause as Error).message.split('\n')[0]})`);
    }
  }
  throw new IvshmemError('ERR_IVSHMEM_ADDON_ABSENT', { tried: tried.join('; ') });
}
