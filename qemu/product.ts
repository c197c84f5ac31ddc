import { join } from 'node:path';
import { bundleInParts } from '../guest-image/bundle.ts';
import { checkout } from '../guest-image/cache.ts';
import type { Source } from '../guest-image/payload.ts';

const home = 'lib/ivshmem';

/**
 * The product as files for `buildPayload`: the `ivshmem` command in the guest's PATH, and each of `programs` (TypeScript
 * entry points by name) as /payload/lib/ivshmem/dist/cli/NAME.mjs, where they find the native addon and the guardian beside
 * them. What commands load on demand is in files of its own: every start in an emulated guest pays for what it reads.
 */
export async function productFiles(
  programs: Readonly<Record<string, string>> = {},
): Promise<Record<string, Source>> {
  const modules = await bundleInParts({ main: join(checkout, 'src/cli/main.ts'), ...programs });
  return {
    ...Object.fromEntries([...modules].map(([name, content]) => [`${home}/dist/cli/${name}`, { content }])),
    [`${home}/dist/cli/addon.node`]: join(checkout, 'native/build/Release/addon.node'),
    [`${home}/dist/cli/guardian`]: join(checkout, 'native/build/Release/guardian'),
    // `ivshmem --version` reads it at the place it has in the npm package.
    [`${home}/package.json`]: join(checkout, 'package.json'),
    'bin/ivshmem': { content: `#!/bin/sh\nexec node /payload/${home}/dist/cli/main.mjs "$@"\n`, mode: 0o755 },
  };
}

/** The words that run one of the programs in the guest. */
export function guestProgram(name: string, ...words: readonly string[]): string[] {
  return ['node', `/payload/${home}/dist/cli/${name}.mjs`, ...words];
}
