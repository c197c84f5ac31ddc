import { once } from 'node:events';
import type net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeHeader, headerBytes } from '../../src/study/stream/header.ts';
import { onPathChange, type SocketModule } from '../../src/study/stream/modules.ts';
import { median } from '../harness/statistics.ts';
import type { Taken } from './commands.ts';

/** Connections of one sample: not more, because each leaves a port in TIME_WAIT. */
const MOST = 400;
const LEAST = 20;
const WARM_UP = 20;
const LIMIT_MS = 30_000;
/**
 * Each connection begins so long after the one before was closed. One that takes part is kept until it is on shared memory, asleep for
 * the most part; without a rest for all, the others would be set up by processors and loops that never slept.
 */
const REST_MS = 10;

/**
 * Sets connections up, one after the other with a rest before each, for `ms`. The value is the median time from connect() to the first bytes of the answer, in
 * microseconds; raw: `connect`, all of them, and `shared`, from connect() to where this side sends on shared memory.
 */
export async function measureConnects(
  module: SocketModule,
  target: net.NetConnectOpts,
  ms: number,
): Promise<Taken> {
  const wanting = new Map<number, () => void>();
  const shares = module.name === 'ivshmem/net';
  if (shares)
    onPathChange(({ path, localPort }) => {
      if (path === 'shared-memory' && localPort !== undefined) wanting.get(localPort)?.();
    });
  const connect: number[] = [];
  const shared: number[] = [];
  for (let i = 0; i < WARM_UP; i++) await setUp(module, target, shares ? wanting : null);
  const begin = performance.now();
  while (connect.length < LEAST || (connect.length < MOST && performance.now() - begin < ms)) {
    const one = await setUp(module, target, shares ? wanting : null);
    connect.push(one.answered);
    if (shares) shared.push(one.shared);
  }
  return { value: median(connect), batches: connect, ...(shares ? { raw: { shared } } : {}) };
}

async function setUp(
  module: SocketModule,
  target: net.NetConnectOpts,
  wanting: Map<number, () => void> | null,
): Promise<{ answered: number; shared: number }> {
  await delay(REST_MS);
  const from = process.hrtime.bigint();
  const since = (): number => Number(process.hrtime.bigint() - from) / 1000;
  const socket = module.connect(target);
  let port = 0;
  let timer: NodeJS.Timeout | undefined;
  try {
    const shared = new Promise<number>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error('a connection was not set up within 30 s')), LIMIT_MS);
      socket.on('error', reject);
      socket.on('connect', () => {
        socket.write(encodeHeader({ what: 'hello', bytes: 0 }));
        port = socket.localPort ?? 0;
        wanting?.set(port, () => resolve(since()));
      });
      if (wanting === null) resolve(0);
    });
    const answered = new Promise<number>((resolve) => {
      let got = 0;
      socket.on('data', (piece) => {
        got += piece.length;
        if (got === headerBytes) resolve(since());
      });
    });
    const times = await Promise.race([
      Promise.all([answered, shared]),
      once(socket, 'close').then(() => {
        throw new Error('a connection was closed before it was set up');
      }),
    ]);
    return { answered: times[0], shared: times[1] };
  } finally {
    clearTimeout(timer);
    wanting?.delete(port);
    socket.destroy();
    if (!socket.closed) await once(socket, 'close');
  }
}
