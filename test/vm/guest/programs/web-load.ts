/**
 * A load generator, autocannon, against `web-app`: `web-load URL CONNECTIONS REQUESTS`. Each load is repeated until all connections of
 * one round were on shared memory: a first round may be over before the region is open. Says what came of all requests as one JSON line.
 */
import { createHash, randomBytes } from 'node:crypto';
import { subscribe } from 'node:diagnostics_channel';
import autocannon from 'autocannon';
import type { PathMessage } from '../../../../src/net/index.ts';

const ROUNDS = 20;

const [url, connections, amount] = process.argv.slice(2);
const upload = randomBytes(100_000);
const loads = {
  greeting: { path: '/greeting/you', expectBody: JSON.stringify({ hello: 'you' }) },
  bytes: { path: '/bytes/200000', expectBody: 'ivshmem '.repeat(25_000) },
  digest: {
    path: '/digest',
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: upload,
    expectBody: createHash('sha256').update(upload).digest('hex'),
  },
} as const;

const wentOver = new Set<number | undefined>();
subscribe('ivshmem:net.path', (message) => {
  const { path, localPort } = message as PathMessage;
  if (path === 'shared-memory') wentOver.add(localPort);
});

async function load({ path, ...request }: (typeof loads)[keyof typeof loads]): Promise<object> {
  const failed = { missing: 0, errors: 0, timeouts: 0, mismatches: 0, non2xx: 0 };
  for (let rounds = 1; ; rounds++) {
    wentOver.clear();
    // Longer each time: on a fast machine the first are over before anything can be agreed on.
    const size = { connections: Number(connections), amount: rounds * Number(amount), timeout: 120 };
    const result = await autocannon({ ...size, ...request, url: `${url}${path}` });
    failed.missing += size.amount - result['2xx'];
    for (const kind of ['errors', 'timeouts', 'mismatches', 'non2xx'] as const) failed[kind] += result[kind];
    if (wentOver.size === Number(connections) || rounds === ROUNDS)
      return { rounds, onSharedMemory: wentOver.size, ...failed };
  }
}

const results: Record<string, object> = {};
for (const [name, request] of Object.entries(loads)) results[name] = await load(request);
console.log(JSON.stringify(results));
