import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { timeBatches } from '../../contestants/batches.ts';
import { median } from '../../harness/statistics.ts';
import { answerLines } from '../asked.ts';
import type { Taken, Timing } from '../commands.ts';

/** A client of the Redis server at `--at`, which takes a sample for each line on stdin. It knows of nothing but ioredis. */
const { values } = parseArgs({ options: { at: { type: 'string', default: '127.0.0.1:6379' } } });
const [host, port] = values.at.split(':') as [string, string];

/** Commands under way at the same time, half of them SET, half GET, on one connection. */
const UNDER_WAY = 16;
const VALUE_BYTES = 256;
const LEAST = 400;

await answerLines(take);

async function take({ ms, warmUpMs }: Timing): Promise<Taken> {
  const redis = new Redis({ host, port: Number(port), lazyConnect: true, retryStrategy: () => null });
  // Whoever waits for a reply hears of it.
  redis.on('error', () => {});
  await redis.connect();
  try {
    const ns = await timeBatches(ms, (n) => exchange(redis, n), { least: LEAST, warmUp: warmUpMs });
    const batches = ns.map((one) => 1e9 / one);
    return { value: median(batches), batches };
  } finally {
    redis.disconnect();
  }
}

/** `n` commands, or one more; every value that is read is the one that was written. */
async function exchange(redis: Redis, n: number): Promise<void> {
  let left = n;
  const chain = async (key: number): Promise<void> => {
    for (let i = 0; left > 0; i++) {
      left -= 2;
      const value = `${key} ${i} `.padEnd(VALUE_BYTES, 'redis');
      await redis.set(`key-${key}`, value);
      if ((await redis.get(`key-${key}`)) !== value) throw new Error(`key ${key} has another value`);
    }
  };
  await Promise.all(Array.from({ length: UNDER_WAY }, (_, key) => chain(key)));
}
