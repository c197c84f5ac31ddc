import { once } from 'node:events';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { open } from 'ivshmem';
import { attachSpace, openSpace, type SpaceShare } from 'ivshmem/dsm';

// Counts primes with two workers, and with those of all processes and VMs that run this at the same time.
const [most, block] = [200_000, 1_000];
if (isMainThread) await main();
else work(workerData as SpaceShare);

async function main(): Promise<void> {
  const region = await open({ name: `count-${process.pid}` });
  const space = await openSpace(region, 'primes', { size: 4096 });
  console.log('counting');
  // So that Node 20 loads TypeScript in a worker; of a compiled program it is `new Worker(new URL(import.meta.url), ...)`.
  const self = JSON.stringify(import.meta.url);
  const load = `import('tsx/esm/api').then(({ tsImport }) => tsImport(${self}, ${self}))`;
  const workers = [1, 2].map(() => new Worker(load, { eval: true, workerData: space.share() }));
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  await space.counter('blocks done').reach(most / block);
  console.log(`${new Int32Array(space.buffer)[0]} primes below ${most}`);
  await region.close();
}

/** Blocks its thread while others add: no promises, and nothing that the main thread has to do. */
function work(share: SpaceShare): void {
  using space = attachSpace(share);
  const total = new Int32Array(space.buffer);
  const [next, done] = [space.counter('next'), space.counter('blocks done')];
  for (;;) {
    const first = (Number(next.add()) - 1) * block;
    if (first >= most) return;
    let primes = 0;
    for (let n = first; n < first + block; n++) if (isPrime(n)) primes++;
    {
      using _held = space.mutex('total').lockSync();
      total[0]! += primes;
    }
    done.add();
  }
}

function isPrime(n: number): boolean {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return n > 1;
}
