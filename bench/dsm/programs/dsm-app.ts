import { once } from 'node:events';
import net from 'node:net';
import { openSpace } from '../../../src/dsm/index.ts';
import type { Region } from '../../../src/index.ts';
import { printBatches, timeBatches } from '../../contestants/batches.ts';
import { parseOptions } from '../../contestants/options.ts';
import {
  announce,
  announced,
  endPartner,
  endWithParent,
  fail,
  pinSelf,
  startPartner,
} from '../../contestants/pair.ts';
import type { App, AppKind } from '../apps/app.ts';
import { apps } from '../apps/index.ts';
import { apartOverTcp } from '../hosts/apart.ts';
import { pagesOf } from '../hosts/pages.ts';
import { openSpread, partnerOnHost, sampleHosts } from '../hosts/pair.ts';
import { acceptPartner, apartOver, connectToPartner } from '../messages.ts';
import { NAME, partner, sample } from '../pair.ts';

// An application: --mode NAME/one (private memory, one process), NAME/space-1, NAME/space-2 (members of a space) or
// NAME/messages-2 (private memory each, and channels); over two hosts NAME/hosts-2 (a spread space) or NAME/wire-2 (TCP).
const options = parseOptions();
const [name, way] = options.mode.split('/');
const kind = apps.find((app) => app.name === name) ?? fail(`no such application: ${name}`);
const members = way!.endsWith('-2') ? 2 : 1;
const alone = { member: 0, members: 1, meet: async () => {} };

if (way === 'hosts-2') await onHosts();
else if (way === 'wire-2') await overTcp();
else if (options.role === 'partner') await partner(options, answer);
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

async function onHosts(): Promise<void> {
  const member = async (region: Region, number: number) => {
    const space = await openSpread(region, kind.bytes(kind.size), kind.pageBytes, true);
    const app = kind.on(space.buffer, kind.size);
    const barrier = space.barrier('meet', { parties: 2 });
    const meet = async (): Promise<void> => void (await barrier.arrive());
    return { app, run: () => app.together({ member: number, members: 2, meet, pages: pagesOf(space) }) };
  };
  if (options.role !== 'partner')
    return sampleHosts(options, async (region, partner) => {
      const { app, run } = await member(region, 0);
      app.prepare();
      await partner.ask('go');
      await time(app, run);
    });
  await partnerOnHost(options, async (region) => async () => {
    const { run } = await member(region, 1);
    // Begins when the other one has heard that it does.
    setImmediate(async () => {
      for (;;) await run();
    });
    return 'going';
  });
}

async function overTcp(): Promise<void> {
  const app = privately(kind);
  if (options.role === 'partner') {
    endWithParent();
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    announce(String((server.address() as net.AddressInfo).port));
    const [socket] = (await once(server, 'connection')) as [net.Socket];
    // The measuring side kills this process: nothing to report.
    socket.on('error', () => process.exit(0));
    for (const apart = apartOverTcp(socket, 1); ; ) await app.apart(apart);
  }
  pinSelf(options.cpuA);
  app.prepare();
  const other = startPartner(options, '');
  const socket = net.connect(Number(await announced(other)), '127.0.0.1');
  await once(socket, 'connect');
  const apart = apartOverTcp(socket, 0);
  await time(app, () => app.apart(apart));
  await endPartner(other);
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
