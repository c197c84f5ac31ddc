import { openSpace } from '../../../src/dsm/index.ts';
import { printBatches, timeBatches } from '../../contestants/batches.ts';
import { parseOptions } from '../../contestants/options.ts';
import { fail, pinSelf } from '../../contestants/pair.ts';
import type { App, AppKind } from '../apps/app.ts';
import { apps } from '../apps/index.ts';
import { acceptPartner, apartOver, connectToPartner } from '../messages.ts';
import { NAME, partner, sample } from '../pair.ts';

// An application: --mode NAME/one (private memory, one process), NAME/space-1, NAME/space-2 (members of a space) or
// NAME/messages-2 (private memory each, and channels).
const options = parseOptions();
const [name, way] = options.mode.split('/');
const kind = apps.find((app) => app.name === name) ?? fail(`no such application: ${name}`);
const members = way!.endsWith('-2') ? 2 : 1;
const alone = { member: 0, members: 1, meet: async () => {} };

if (options.role === 'partner') await partner(options, answer);
else if (way === 'one') {
  pinSelf(options.cpuA);
  const app = privately(kind);
  app.prepare();
  await time(app, () => app.together(alone));
} else
  await sample(options, members, async (region) => {
    if (way === 'messages-2') {
      const app = privately(kind);
      app.prepare();
      const apart = apartOver(await connectToPartner(region), 0);
      return time(app, () => app.apart(apart));
    }
    const space = await openSpace(region, NAME, { size: kind.bytes(kind.size) });
    const app = kind.on(space.buffer, kind.size);
    // The partner waits for the first run, by when the input is there.
    if (members === 1) app.prepare();
    const barrier = space.barrier('meet', { parties: members });
    const meet = async (): Promise<void> => void (await barrier.arrive());
    return time(app, () => app.together({ member: 0, members, meet }));
  });
process.exit(0);

async function answer(...[region, ready]: Parameters<Parameters<typeof partner>[1]>): Promise<void> {
  if (way === 'messages-2') {
    const apart = apartOver(await acceptPartner(region, ready), 1);
    for (const app = privately(kind); ; ) await app.apart(apart);
  }
  const space = await openSpace(region, NAME, { size: kind.bytes(kind.size) });
  const app = kind.on(space.buffer, kind.size);
  app.prepare();
  const barrier = space.barrier('meet', { parties: members });
  ready();
  for (;;) await app.together({ member: 1, members, meet: async () => void (await barrier.arrive()) });
}

function privately(kind: AppKind): App {
  return kind.on(new ArrayBuffer(kind.bytes(kind.size)), kind.size);
}

/** Times whole runs, and has the result compared with that of one process. */
async function time(app: App, run: () => Promise<void>): Promise<void> {
  const reference = privately(kind);
  reference.prepare();
  await reference.together(alone);
  const expected = reference.digest();
  let runs = 0;
  const batches = await timeBatches(
    options.ms,
    async (n) => {
      for (let i = 0; i < n; i++) await run();
      runs += n;
    },
    { first: 1 },
  );
  if (app.digest() !== expected) fail(`after ${runs} runs the result is ${app.digest()}, not ${expected}`);
  printBatches(
    batches.map((ns) => ns / 1e6),
    'ms',
    0,
  );
}
