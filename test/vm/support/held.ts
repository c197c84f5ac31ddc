import type { Test } from 'tap';
import { type Channel, open, type Region } from '../../../src/index.ts';
import { until } from '../../support/protocol/until.ts';
import type { Fleet } from './fleet.ts';
import type { Observers } from './observers.ts';
import type { Talker } from './talker.ts';

/** Channels from this number on have their pending bits in two steps. */
const INDIRECT = 256;
const SMALL = { queueSize: 2, dataBytes: 4096 };

/** What a test of a region in which members die holding something needs. */
export interface HeldScene {
  readonly fleet: Fleet;
  /** A process of the host, and a member in a VM that sleeps until it is rung. */
  readonly host: Talker;
  readonly guest: Talker;
  readonly observers: Observers;
  /** A new member in the victim's VM that holds channels to and from everybody. */
  readonly newcomer: (t: Test, name: string) => Promise<Talker>;
}

/** Takes channel numbers, in this process, until the next one is out of the reach of the summary's direct bits. */
async function takeDirectNumbers(region: Region): Promise<Channel[]> {
  const channels: Channel[] = [];
  while ((channels.at(-1)?.number ?? 0) < INDIRECT)
    channels.push(await region.connect('sink', { peer: 'host', ...SMALL }));
  return channels;
}

/** Takes all the channel memory there is, writes to all it may write to, and gives it back. */
async function scribble(region: Region): Promise<void> {
  const channels: Channel[] = [];
  try {
    for (;;) channels.push(await region.connect('sink', { peer: 'host', dataBytes: 1 << 20 }));
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_IVSHMEM_REFUSED') throw error;
  }
  for (const channel of channels) {
    channel.outgoing.bytes.fill(0xee);
    channel.close();
  }
}

/** How many channels to its echo ended with their peer's death before one whole message had come. */
const unheard = ({ said }: Talker): number =>
  said.filter(({ service, count, end }) => service === 'echo' && count === 0 && end === 'died').length;

/**
 * Members in a VM kill themselves in the middle of everything that a member can hold, one after the other. Each is the newcomer in
 * the slot of the one before.
 */
export async function dieHolding(t: Test, scene: HeldScene): Promise<void> {
  const { fleet, host, guest, observers } = scene;
  const filler = await open({ socket: fleet.socket, name: 'filler' });
  t.teardown(() => filler.close());
  await observers.see(t, 'join', 'filler');
  await takeDirectNumbers(filler);
  const before = await observers.settle();
  let slot: unknown;

  /** One that holds channels to and from everybody, and is about to hold more. */
  const victim = async (t: Test, name: string): Promise<Talker> => {
    const one = await scene.newcomer(t, name);
    slot ??= (await one.ready()).slot;
    t.equal((await one.ready()).slot, slot, 'it has the slot of the last');
    return one;
  };
  /** It is dead, all that it held is back, and the others go on. */
  const recovered = async (t: Test, one: Talker): Promise<void> => {
    await observers.see(t, 'leave', one.name, 'crashed');
    await observers.recover(t, one.name, 'died');
    t.equal(await one.ended(), null, 'it died by a signal');
    for (const [from, to] of [
      [host, guest],
      [guest, host],
    ] as const)
      t.match(await from.order('ask', to.name, 20), { count: 20 }, `${from.name} asks ${to.name}`);
  };

  await t.test('dies with messages reserved, in parts, lent, and a request half written', async (t) => {
    await guest.order('borrow');
    const before = observers.all.map(unheard);
    const one = await victim(t, 'talkative');
    const holds = one.order('die', 'messages', 'host', 'guest');
    await one.line(/"keeping"/);
    for (const other of observers.all)
      t.ok(((await other.order('fill', one.name)).sent as number) > 0, `${other.name} has no more room`);
    t.notOk((await holds).failed);
    t.match(await guest.line(/"borrowed"/), { borrowed: slot });
    void one.order('release').catch(() => {});
    for (const other of observers.all)
      t.match(
        await other.line(new RegExp(`"filled":"${one.name}"`)),
        { written: false, end: 'died' },
        `${other.name} waited for room, and has an answer`,
      );
    await observers.see(t, 'leave', one.name, 'crashed');
    for (const [i, other] of observers.all.entries())
      await until(`${other.name} sees two channels end`, () => unheard(other) === before[i]! + 2, 180);
    await scribble(filler);
    t.match(await guest.order('intact'), { whole: true, end: 'died' }, 'what one still reads is untouched');
    await recovered(t, one);
  });

  await t.test(
    'dies with everybody\'s "armed" taken, and a pending bit set without its summary',
    async (t) => {
      const one = await victim(t, 'grabber');
      const probe = await filler.connect('echo', { peer: 'guest' });
      t.ok(probe.number >= INDIRECT, `channel ${probe.number} has its bit in two steps`);
      t.notOk((await one.order('die', 'armed', probe.peer, probe.number, 'host', 'guest')).failed);
      await observers.see(t, 'leave', one.name, 'crashed');
      probe.send(Buffer.from('heard'));
      t.equal(Buffer.from((await probe.next())!.copy()).toString(), 'heard', 'the next user of that bit');
      probe.close();
      await recovered(t, one);
    },
  );

  await t.test('dies with the "armed" of the server taken, and a request sent', async (t) => {
    const one = await victim(t, 'asker');
    t.notOk((await one.order('die', 'armed-server')).failed);
    await recovered(t, one);
  });

  for (const [what, peer] of [
    ['memory', 'host'],
    ['numbers', 'guest'],
  ] as const)
    await t.test(`dies with all channel ${what}`, async (t) => {
      const one = await victim(t, what);
      t.notOk((await one.order('die', what, peer)).failed);
      for (const [from, to] of [
        [host, 'guest'],
        [guest, 'host'],
      ] as const)
        t.match(await from.order('ask', to, 1), { code: 'ERR_IVSHMEM_REFUSED' }, 'there is nothing left');
      t.ok(await host.goesOn('guest'), 'what is open goes on');
      void one.order('release').catch(() => {});
      await recovered(t, one);
    });

  await filler.close();
  await observers.see(t, 'leave', 'filler', 'closed');
  await observers.settle(before);
  const last = await scene.newcomer(t, 'last');
  t.equal((await last.ready()).slot, slot, 'the next one in the slot is as good as any');
  await last.order('close');
  await observers.see(t, 'leave', 'last', 'closed');
}
