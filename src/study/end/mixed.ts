import type net from 'node:net';
import { median } from '../../demo/figures.ts';
import { batchesOf, warmUp } from '../batches.ts';
import { Times } from '../histogram.ts';
import { measureStream } from '../stream/measuring.ts';
import type { SocketModule } from '../stream/modules.ts';
import type { Begin, Part, Taken } from './commands.ts';

/**
 * Round trips of which `remote` in a hundred go to a peer outside the region, evenly spread, and the others to the one in it; one after the
 * other. The value is round trips per second; each part has its own times.
 */
export async function beginMixed(
  module: SocketModule,
  local: net.NetConnectOpts,
  elsewhere: net.NetConnectOpts,
  { bytes, remote = 0, ms, warmUpMs }: Begin,
): Promise<() => Promise<Taken>> {
  const order = { what: 'rtt', bytes } as const;
  const near = await measureStream(module, local, order, false);
  // Nobody there is in the region: TCP is what its bytes go over.
  const away = { ...module, onPath: async () => {} };
  const far = await measureStream(away, elsewhere, order, false).catch(async (error) => {
    await near.end();
    throw error;
  });
  const end = async (): Promise<void> => void (await Promise.all([near.end(), far.end()]));
  const times = { local: new Times(), remote: new Times() };
  let counted = false;
  let owed = 0;
  const step = async (n: number): Promise<void> => {
    for (let i = 0; i < n; i++) {
      owed += remote;
      const part: Part = owed >= 100 ? 'remote' : 'local';
      if (part === 'remote') owed -= 100;
      const from = performance.now();
      await (part === 'remote' ? far : near).step(1);
      if (counted) times[part].add((performance.now() - from) * 1e6);
    }
  };
  const n = await warmUp(ms, step, { warmUp: warmUpMs, first: 16 }).catch((error) =>
    end().then(() => Promise.reject(error)),
  );
  return async () => {
    try {
      counted = true;
      const batches = await batchesOf(step, n);
      const parts = (['local', 'remote'] as const).flatMap((part) =>
        times[part].count === 0
          ? []
          : [[part, { value: times[part].quantile(0.5), histogram: times[part].encode() }] as const],
      );
      const value = median(batches.map((ns) => 1e9 / ns));
      return { value, operations: n * batches.length, parts: Object.fromEntries(parts) };
    } finally {
      await end();
    }
  };
}
