import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { bundle } from './bundle.ts';
import { cacheDirectory, checkout, contentHash, publish } from './cache.ts';
import { ext4Image, settleTree } from './ext4.ts';

export { bundle };

/** What becomes a file of the payload: a path on this machine (a file or a directory), or content. */
export type Source = string | { readonly content: string | Uint8Array; readonly mode?: number };

const maximumAge = 24 * 3600 * 1000;

/**
 * Builds the read-only disk that guests see at /payload and returns the image's path.
 * Contains the guest agent and a `run` script that starts it, unless `files` brings a `run` of its own.
 * @param files by path below /payload; /payload/bin is in the guest's PATH, executable files stay executable
 * @throws Error when a target leaves /payload or a source does not exist
 */
export async function buildPayload(files: Readonly<Record<string, Source>>): Promise<string> {
  const stage = mkdtempSync(join(tmpdir(), 'ivshmem-payload-'));
  try {
    for (const [target, source] of Object.entries({ ...(await agentFiles()), ...files }))
      place(stage, target, source);
    settleTree(stage);
    const directory = cacheDirectory('payloads');
    prune(directory);
    const image = join(directory, `${contentHash([], [stage])}.ext4`);
    if (existsSync(image)) {
      utimesSync(image, new Date(), new Date());
    } else {
      const work = mkdtempSync(join(directory, 'work-'));
      await ext4Image(stage, join(work, 'image'), 'ivshmem-payload');
      publish(join(work, 'image'), image);
      rmSync(work, { recursive: true, force: true });
    }
    return image;
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

async function agentFiles(): Promise<Record<string, Source>> {
  return {
    run: { content: '#!/bin/sh\nexec node /payload/agent.mjs\n', mode: 0o755 },
    'agent.mjs': { content: await bundle(join(checkout, 'guest-image/agent.ts')) },
  };
}

function place(stage: string, target: string, source: Source): void {
  const path = normalize(target);
  if (path.startsWith('..') || path.startsWith('/')) {
    throw new Error(
      `cannot place ${target} on the payload: it leaves the disk. Give a path relative to /payload.`,
    );
  }
  const full = join(stage, path);
  mkdirSync(dirname(full), { recursive: true });
  if (typeof source === 'string') {
    cpSync(source, full, { recursive: true, dereference: true });
  } else {
    writeFileSync(full, source.content);
    chmodSync(full, source.mode ?? 0o644);
  }
}

// Every change of a source makes a new image; those nobody used for a day go. A VM that has one open keeps it.
function prune(directory: string): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat && Date.now() - stat.mtimeMs > maximumAge) rmSync(path, { recursive: true, force: true });
  }
}
