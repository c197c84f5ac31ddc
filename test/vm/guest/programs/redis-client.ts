/**
 * A client of a Redis server, with ioredis as its users write it: `redis-client HOST`. Says what it found as one JSON line.
 * What the server holds afterwards under `large` has the SHA-256 it says.
 */
import { createHash, randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';

const PIPELINED = 200;
const PUBLISHED = 100;
const LARGE = 2 << 20;

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const [host] = process.argv.slice(2);
// A slow machine is not a dead server.
const options = { host: host!, connectTimeout: 120_000 };
const redis = new Redis(options);

const pipeline = redis.pipeline();
for (let i = 0; i < PIPELINED; i++) pipeline.set(`key:${i}`, `value ${i}`).incrby('sum', i).get(`key:${i}`);
const replies = (await pipeline.exec())!;
const right = replies.filter(([error, value], index) => {
  const i = Math.floor(index / 3);
  const expected = ['OK', (i * (i + 1)) / 2, `value ${i}`][index % 3];
  return error === null && value === expected;
}).length;

const subscriber = new Redis(options);
const heard: string[] = [];
await subscriber.subscribe('news');
const all = new Promise<void>((resolve) => {
  subscriber.on('message', (_channel, message) => {
    if (heard.push(message) === PUBLISHED) resolve();
  });
});
for (let i = 0; i < PUBLISHED; i++) redis.publish('news', `issue ${i}`).catch(() => {});
await all;
const inOrder = heard.every((message, i) => message === `issue ${i}`);

const large = randomBytes(LARGE);
await redis.set('large', large);
const back = await redis.getBuffer('large');

console.log(
  JSON.stringify({
    pipelined: { replies: replies.length, right },
    published: { heard: heard.length, inOrder },
    large: { bytes: LARGE, sha256: sha256(large), same: back?.equals(large) ?? false },
  }),
);
await Promise.all([redis.quit(), subscriber.quit()]);
