/** Members and host processes that never stop, beside some that behave. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { ENTRANCE } from '../../../src/host/clients/entrance.ts';
import { PACE } from '../../../src/host/region/slot-pace.ts';
import { serveRegion } from '../../support/busy-region.ts';
import { parseMetrics, seriesValue } from '../../support/prometheus.ts';
import { until } from '../../support/protocol/until.ts';

const PROGRAM = fileURLToPath(new URL('../../support/flood-program.ts', import.meta.url));

async function flood(t: Test, socket: string, how: string): Promise<ChildProcess> {
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  const child = spawn(process.execPath, ['--import', 'tsx', PROGRAM, socket, how], { stdio: [...stdio] });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout!, 'data');
  return child;
}

/** `rate`: views a second that the flood may cause in the long run; `burst`: at once. */
const FLOODS = [
  { how: 'updates', burst: PACE.burst, rate: PACE.perSecond, slowed: 'coalesced' },
  // A life is a JOIN and the LEAVE of the one before.
  { how: 'lives', burst: 2 * PACE.burst, rate: 2 * PACE.perSecond, slowed: 'postponed' },
  // A client is a CONNECT and a DISCONNECT.
  {
    how: 'clients',
    burst: 2 * ENTRANCE.process.burst,
    rate: 2 * ENTRANCE.process.perSecond,
    slowed: 'postponed',
  },
] as const;

for (const { how, burst, rate, slowed } of FLOODS) {
  t.test(`a flood of ${how}: all events of the others arrive`, { timeout: 60_000 }, async (t) => {
    // The flood has 8 at a time and 8 whose end the server may not have heard of: there is always place for others.
    const served = await serveRegion(`flood-${how}`, { slots: 32 }, { metrics: '127.0.0.1:0' });
    t.teardown(() => served.close());
    const count = async (name: string): Promise<number> => {
      const url = `http://127.0.0.1:${served.server.metricsPort}/metrics`;
      return seriesValue(parseMetrics(await (await fetch(url)).text()), `ivshmem_region_${name}_total`)!;
    };
    const watcher = await served.join('watcher');
    const members = await watcher.membership();
    const seen: string[] = [];
    void (async () => {
      for await (const { type, member } of members)
        if (member.name.startsWith('good')) seen.push(`${type} ${member.name}`);
    })();
    const views = await count('views');
    const since = performance.now();
    const child = await flood(t, served.socket, how);
    await until('there is too much of it', async () => (await count(slowed)) > 20, 20);
    const expected: string[] = [];
    for (let n = 0; n < 12; n++) {
      const name = `good${n}`;
      const region = await served.join(name);
      await region.listen('service');
      await region.close();
      expected.push(`join ${name}`, `leave ${name}`);
    }
    await until(
      'all joined and left',
      () => seen.filter((event) => !event.startsWith('update')).length >= 24,
      20,
    );
    t.same(
      seen.filter((event) => !event.startsWith('update')),
      expected,
    );
    const seconds = (performance.now() - since) / 1000;
    const made = (await count('views')) - views;
    // Each of ours: CONNECT, JOIN, UPDATE, LEAVE, DISCONNECT.
    const most = burst + rate * seconds + 12 * 5 + 5;
    t.ok(made <= most, `${made} views in ${seconds.toFixed(1)} s, at most ${Math.ceil(most)}`);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await until('the flood is over for the watcher too', () => members.list().length === 1, 20);
    t.same(
      members.list().map(({ name }) => name),
      ['watcher'],
    );
  });
}
