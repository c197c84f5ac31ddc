/** What a member holds when it is killed comes back, and nobody waits for it for ever. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { bundle } from '../../guest-image/bundle.ts';
import { createServer, type RegionStatus } from '../../src/host/index.ts';
import { type Channel, interrupt, type MembershipEvent, open, type Region } from '../../src/index.ts';
import { until } from '../support/protocol/until.ts';
import { testFolder } from '../support/test-folder.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const directory = testFolder(t);
for (const name of ['held', 'sleeper'])
  writeFileSync(join(directory, `${name}.mjs`), await bundle(here(`../support/${name}-program.ts`)));
cpSync(here('../../native/build/Release/addon.node'), join(directory, 'addon.node'));

let scenes = 0;

/** A process of its own, and what it said so far. */
class Program {
  readonly process: ChildProcess;
  readonly lines: string[] = [];

  constructor(t: Test, name: 'held' | 'sleeper', ...words: readonly (string | number)[]) {
    // The engine's own return after some seconds would turn the loop of a sleeper.
    const command = ['--no-memory-reducer', join(directory, `${name}.mjs`), ...words.map(String)];
    this.process = spawn(process.execPath, command, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    createInterface({ input: this.process.stdout! }).on('line', (line) => this.lines.push(line));
    t.teardown(() => this.process.kill('SIGKILL'));
  }

  async says(what: string | RegExp): Promise<string> {
    const said = () =>
      this.lines.find((line) => (typeof what === 'string' ? line === what : what.test(line)));
    await until(`a program says ${what}`, () => said() !== undefined);
    return said()!;
  }

  /** Tells it to take the last step. */
  release(): void {
    this.process.stdin!.write('now\n');
  }

  async dead(): Promise<void> {
    if (this.process.signalCode === null) await once(this.process, 'exit');
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.dead();
  }
}

/** A region with two who stay, `stay` and `other`, asleep whenever there is nothing to do, and one who watches. */
class Scene {
  readonly socket = `@ivshmem-held-${process.pid}-${scenes++}`;
  readonly accepted: Channel[] = [];
  stay!: Region;
  other!: Region;
  status!: () => RegionStatus;
  #quiet!: RegionStatus;
  readonly #events: MembershipEvent[] = [];

  static async start(t: Test, region: object = {}): Promise<Scene> {
    const scene = new Scene();
    const config = { name: 'held', socket: scene.socket, size: '16M' as const, ...region };
    const server = await createServer({ regions: [config] });
    t.teardown(() => server.close());
    scene.status = () => server.status().regions[0]!;
    scene.stay = await open({ socket: scene.socket, name: 'stay', wait: interrupt });
    t.teardown(() => scene.stay.close());
    scene.other = await open({ socket: scene.socket, name: 'other', wait: interrupt });
    t.teardown(() => scene.other.close());
    const listener = await scene.stay.listen('stay');
    void (async () => {
      for await (const channel of listener) scene.accepted.push(channel);
    })();
    const members = await scene.stay.membership();
    void (async () => {
      for await (const event of members) scene.#events.push(event);
    })();
    scene.#quiet = scene.status();
    return scene;
  }

  /** The channel that the victim made. */
  async channel(): Promise<Channel> {
    await until('the victim connects', () => this.accepted.length > 0);
    return this.accepted.at(-1)!;
  }

  /** The others heard of the death, all is back, and all of it works: for those who stayed and for a newcomer in that slot. */
  async recovered(t: Test, victim: Program): Promise<void> {
    await victim.dead();
    const left = () => this.#events.find(({ type, member }) => type === 'leave' && member.name === 'victim');
    await until('the others hear of it', () => left() !== undefined);
    t.match(left(), { reason: 'crashed' });
    for (const channel of this.accepted.splice(0)) {
      await until('its channels end', () => channel.end !== null);
      t.equal(channel.end, 'died');
      channel.close();
    }
    const { channels, freeHeapBytes } = this.#quiet;
    await until('all is back', () => {
      const now = this.status();
      return now.members.length === 2 && now.channels === channels && now.freeHeapBytes === freeHeapBytes;
    });
    await talk(t, this.other, this.stay, this.accepted);
    const heir = await open({ socket: this.socket, name: 'victim' });
    t.ok(heir.slot <= left()!.member.slot, 'somebody else has its name, and the lowest free slot');
    await talk(t, heir, this.stay, this.accepted);
    await heir.close();
  }
}

/** A channel from one to the other; both sleep in between. */
async function talk(t: Test, from: Region, to: Region, accepted: Channel[]): Promise<void> {
  const near = await from.connect('stay', { peer: to.name });
  await until('the channel', () => accepted.length > 0);
  const far = accepted.shift()!;
  for (const [one, two] of [
    [near, far],
    [far, near],
  ] as const) {
    const received = two.next();
    await one.write(Buffer.from(from.name));
    const message = (await received)!;
    t.equal(Buffer.from(message.copy()).toString(), from.name, `${from.name} talks with ${to.name}`);
    two.release(message);
  }
  near.close();
  far.close();
}

for (const scene of [
  'armed of a peer',
  'armed of the server',
  'a request half written',
  'a request sent without a doorbell',
  'a message reserved',
])
  t.test(scene, async (t) => {
    const it = await Scene.start(t);
    const victim = new Program(t, 'held', it.socket, scene);
    await it.recovered(t, victim);
  });

/** Another who stays, in a process that sleeps: only a doorbell wakes it. */
async function sleeper(t: Test, it: Scene): Promise<{ program: Program; slot: number }> {
  const program = new Program(t, 'sleeper', it.socket);
  const [, slot] = (await program.says(/^slot/)).split(' ');
  return { program, slot: Number(slot) };
}

t.test('armed of a peer that sleeps', async (t) => {
  const it = await Scene.start(t);
  const { program } = await sleeper(t, it);
  const victim = new Program(t, 'held', it.socket, 'armed of a peer', 'sleeper');
  await victim.dead();
  t.equal(await program.says(/^end/), 'end died', 'it hears of the channel');
  t.equal(await program.says(/^leave/), 'leave victim crashed', 'and of the member');
  await program.kill();
  await it.recovered(t, victim);
});

t.test('armed of a stranger that sleeps', async (t) => {
  const it = await Scene.start(t);
  const { program, slot } = await sleeper(t, it);
  const near = await it.stay.connect('stay', { peer: 'sleeper' });
  near.send(Buffer.from('before'));
  await program.says('heard before');
  const victim = new Program(t, 'held', it.socket, 'armed of a stranger', slot);
  await victim.dead();
  // Whoever sees `armed` taken need not ring: it is for the server to do.
  near.send(Buffer.from('after'));
  await program.says('heard after');
  near.close();
  await program.says('end closed');
  await program.kill();
  await it.recovered(t, victim);
});

t.test('pending without summary', async (t) => {
  const it = await Scene.start(t, { size: '64M', channels: 512 });
  const far: Channel[] = [];
  const listener = await it.other.listen('many');
  void (async () => {
    for await (const channel of listener) far.push(channel);
  })();
  const near: Channel[] = [];
  // Those from 256 on have their bits in two steps.
  while ((near.at(-1)?.number ?? 0) < 256)
    near.push(await it.stay.connect('many', { queueSize: 2, dataBytes: 4096 }));
  const last = near.at(-1)!;
  await until('all channels', () => far.some(({ number }) => number === last.number));
  const theirs = far.find(({ number }) => number === last.number)!;
  const received = theirs.next();
  const victim = new Program(t, 'held', it.socket, 'pending without summary', it.other.slot, last.number);
  await victim.dead();
  last.send(Buffer.from('heard'));
  t.equal(Buffer.from((await received)!.copy()).toString(), 'heard');
  for (const channel of [...near, ...far]) channel.close();
  listener.close();
  await it.recovered(t, victim);
});

t.test('a message lent to it: who waits for room gets an answer', async (t) => {
  const it = await Scene.start(t);
  const victim = new Program(t, 'held', it.socket, 'a message lent');
  await victim.says('ready');
  const channel = await it.stay.connect('victim', { queueSize: 8, dataBytes: 4096 });
  const writing = (async () => {
    let written = 0;
    while (await channel.write(new Uint8Array(1000))) written++;
    return written;
  })();
  await victim.says('holds');
  t.ok((await writing) > 0, 'writing ends with false');
  t.equal(channel.end, 'died');
  channel.close();
  await it.recovered(t, victim);
});

t.test('a message in parts, some of them there', async (t) => {
  const it = await Scene.start(t);
  const victim = new Program(t, 'held', it.socket, 'a message in parts');
  const channel = await it.channel();
  t.equal(await channel.next(), null, 'half a message is none');
  t.equal(channel.end, 'died');
  await it.recovered(t, victim);
});

t.test('a message lent to one who still reads', async (t) => {
  const it = await Scene.start(t);
  const victim = new Program(t, 'held', it.socket, 'a message sent');
  const channel = await it.channel();
  const message = (await channel.next())!;
  victim.release();
  await victim.dead();
  await until('the end is seen', () => channel.end === 'died');
  // Others take all the memory there is, and write to all of it.
  const listener = await it.other.listen('sink');
  for (let n = 0; n < 3; n++) {
    const near = await it.stay.connect('sink', { dataBytes: 1 << 20 });
    const far = (await listener.accept())!;
    near.outgoing.bytes.fill(0xee);
    far.outgoing.bytes.fill(0xee);
    near.close();
    far.close();
  }
  t.strictSame(
    [...message.bytes],
    Array.from({ length: 5000 }, (_, i) => i & 0xff),
    'the message is whole',
  );
  channel.release(message);
  listener.close();
  await it.recovered(t, victim);
});

for (const [scene, region, attempt, code] of [
  [
    'all slots',
    { slots: 8 },
    async (it: Scene) => (await open({ socket: it.socket, name: 'late' })).close(),
    'ERR_IVSHMEM_HOST_REFUSED',
  ],
  [
    'all memory',
    { size: '4M', channels: 4096, quota: { channels: 4096, heap: 1 } },
    async (it: Scene) => (await it.other.connect('stay', { dataBytes: 1 << 20 })).close(),
    'ERR_IVSHMEM_REFUSED',
  ],
  [
    'all channel numbers',
    { channels: 32, quota: { channels: 32, heap: 1 } },
    async (it: Scene) => (await it.other.connect('stay')).close(),
    'ERR_IVSHMEM_REFUSED',
  ],
] as const)
  t.test(scene, async (t) => {
    const it = await Scene.start(t, region);
    const victim = new Program(t, 'held', it.socket, scene);
    await victim.says('ready');
    await t.rejects(attempt(it), { code }, 'there is nothing left');
    victim.release();
    await victim.dead();
    await it.recovered(t, victim);
    await attempt(it);
  });
