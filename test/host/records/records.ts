import t from 'tap';
import { readRecords } from '../../../src/host/records/records.ts';
import { buildTruth, contradiction } from '../../../src/host/region/truth.ts';
import { OP_CLOSE } from '../../../src/memory/layout.ts';
import { CoreScene } from '../../support/core-scene.ts';

/** A region with two members, a listener and a channel that one side has closed. */
function scene(): CoreScene {
  const scene = new CoreScene();
  for (const [i, name] of ['a', 'b'].entries()) {
    scene.connect();
    scene.hello(i + 1, name, 1);
  }
  scene.listen(2, 'echo');
  const [, number, generation] = scene.connectTo(1, 'echo');
  scene.ask(1, OP_CLOSE, number!, generation!);
  scene.connectTo(1, 'echo');
  return scene;
}

/** What is kept with some fields of one record changed; null: without that record. */
function changed(scene: CoreScene, key: string, changes: object | null): Map<string, unknown> {
  const records = new Map(scene.kept);
  if (changes === null) records.delete(key);
  else records.set(key, { ...(records.get(key) as object | undefined), ...changes });
  return records;
}

t.test('records that make no sense are refused, each by itself', async (t) => {
  const s = scene();
  t.teardown(() => s.close());
  const refused = (key: string, changes: object | null, message: RegExp): void => {
    t.throws(() => readRecords(changed(s, key, changes)), { message });
  };
  t.match(readRecords(s.kept), { region: { name: 'scene' }, channels: [{ number: 1 }, { number: 2 }] });
  refused('region', null, /expected object/);
  refused('slot.1', { state: 3 }, /state/);
  refused('slot.1', { epoch: -1 }, /epoch/);
  refused('slot.1', { more: 1 }, /more/);
  refused('slot.2', { id: 1 }, /slot.2 is that of slot.1/);
  refused('member.1', { items: [{ type: 'x', text: 'y' }] }, /items/);
  refused('member.1', { slot: 2 }, /member.1 is that of member.2/);
  refused('channel.1', { number: 2 }, /channel.1 is that of channel.2/);
  refused('listener.1', { slot: 256 }, /slot/);
  refused('generation.1', { generation: 2 ** 32 }, /generation/);
  refused('what.1', {}, /nothing is known of records named what.1/);
});

t.test('records that contradict each other or the configuration', async (t) => {
  const s = scene();
  t.teardown(() => s.close());
  const nothing = (): void => {};
  const effects = {
    taken() {},
    zeroRings: nothing,
    writeChannel: nothing,
    writeClosed: nothing,
    freeChannel: nothing,
    event: nothing,
    zeroPages: nothing,
    writeSpace: nothing,
    freeSpace: nothing,
  };
  const build = (records: Map<string, unknown>): object => {
    const eventfds = Array.from({ length: s.config.slots }, () => []);
    const own = { pid: 1, uid: 0, gid: 0 };
    return buildTruth(s.config, eventfds, own, readRecords(records), effects, nothing);
  };
  t.doesNotThrow(() => build(s.kept));
  const refused = (key: string, changes: object | null, message: RegExp): void => {
    t.throws(() => build(changed(s, key, changes)), { message });
  };
  const { firstPage } = s.kept.get('channel.1') as { firstPage: number };
  refused('channel.2', { firstPage: firstPage + 1 }, /memory that is not free/);
  refused('channel.2', { firstPage: 1 }, /memory that is not free/);
  refused('channel.2', { pages: 1 }, /memory of another size/);
  refused('channel.2', { closed: 3 }, /is closed/);
  refused('channel.2', { listener: { slot: 1, epoch: 1 } }, /no two sides/);
  refused('channel.2', { listener: { slot: 9, epoch: 1 } }, /no two sides/);
  refused('generation.2', { generation: 7 }, /two lives/);
  refused('listener.9', { id: 9, slot: 2, service: 'echo' }, /listener 9 is there twice/);
  refused('slot.9', { ...(s.kept.get('slot.1') as object), id: 9 }, /no slot 9/);
  refused('generation.99', { generation: 1 }, /no channel 99/);
  refused('region', { size: 2 << 20 }, /size is 1048576, and was 2097152/);
});

t.test('what a configuration may change', async (t) => {
  const s = new CoreScene();
  t.teardown(() => s.close());
  const { config, core } = s;
  const { shape } = core.truth;
  t.equal(contradiction({ ...config, quota: { ...config.quota, channels: 1 }, admit: 'any' }, shape), null);
  t.match(contradiction({ ...config, slots: 9 }, shape), /slots is 9, and was 8/);
  t.match(contradiction({ ...config, name: 'other' }, shape), /name is other, and was scene/);
});

t.test('charges and free channel numbers are as they were', async (t) => {
  const s = scene();
  t.teardown(() => s.close());
  const before = [1, 2].map((slot) => s.core.truth.channels.charge(slot));
  t.same(
    before.map(({ channels }) => channels),
    [1, 1],
    'who keeps a closed channel pays for it',
  );
  s.restart();
  t.same(
    [1, 2].map((slot) => s.core.truth.channels.charge(slot)),
    before,
  );
  t.equal(s.connectTo(1, 'echo')[1], 3);
});
