import { createHook } from 'node:async_hooks';
import { closeSync, writeSync } from 'node:fs';
import t, { type Test } from 'tap';
import { Mailbox } from '../../../src/host/clients/mailbox.ts';
import { createServer } from '../../../src/host/index.ts';
import { MEMBER_BYTES, MEMBER_W } from '../../../src/memory/layout.ts';
import { post } from '../../../src/memory/pending.ts';
import { binding } from '../../../src/native/binding.ts';
import { until } from '../../support/protocol/until.ts';

const SLOTS = 8;

function scene(t: Test): { words: Int32Array; bell: number; mailbox: Mailbox; visits: number[] } {
  const words = new Int32Array(MEMBER_BYTES / 4);
  const bell = binding.eventfdCreate();
  const visits: number[] = [];
  const mailbox = new Mailbox(words, 0, SLOTS, bell, (slot) => visits.push(slot));
  t.teardown(() => {
    mailbox.close();
    closeSync(bell);
  });
  return { words, bell, mailbox, visits };
}

const asleep = (words: Int32Array): Promise<void> => until('it sleeps', () => words[MEMBER_W.armed] === 1);

t.test('marks and bells', async (t) => {
  const { words, bell, visits } = scene(t);
  await asleep(words);
  visits.length = 0;
  t.ok(post(words, 0, 3));
  for (const slot of [0, SLOTS, 500]) post(words, 0, slot);
  binding.eventfdSignal(bell);
  await until('it looks', () => visits.length > 0);
  t.same(visits, [3], 'slots that exist, and not its own');
  await asleep(words);
});

t.test('after a death it looks at all, though neither mark nor bell came', async (t) => {
  const { words, mailbox, visits } = scene(t);
  await asleep(words);
  visits.length = 0;
  words[MEMBER_W.armed] = 0;
  mailbox.lookAtAll();
  await until('it looks', () => visits.length >= SLOTS - 1);
  t.same(visits, [1, 2, 3, 4, 5, 6, 7]);
  await asleep(words);
});

t.test('a full counter does not deafen it', async (t) => {
  const { words, bell, visits } = scene(t);
  await asleep(words);
  visits.length = 0;
  const most = Buffer.alloc(8);
  most.writeBigUInt64LE(0xffff_ffff_ffff_fffen);
  writeSync(bell, most);
  await until('the counter is drained', () => binding.eventfdDrain(bell) === 0);
  post(words, 0, 2);
  binding.eventfdSignal(bell);
  await until('it hears', () => visits.includes(2));
});

t.test('a pause leaves requests where they are', async (t) => {
  const { words, bell, mailbox, visits } = scene(t);
  await asleep(words);
  visits.length = 0;
  mailbox.pause();
  post(words, 0, 2);
  binding.eventfdSignal(bell);
  mailbox.lookAtAll();
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  t.same(visits, []);
  mailbox.resume();
  await until('it goes on', () => visits.includes(2));
});

t.test('an idle server has no timer', async (t) => {
  const timers: string[] = [];
  const hook = createHook({
    init: (_id, type) => void (type === 'Timeout' && timers.push(new Error('made').stack ?? '')),
  }).enable();
  t.teardown(() => hook.disable());
  const region = { name: 'idle', socket: `@ivshmem-idle-${process.pid}`, size: '1M' };
  const server = await createServer({ regions: [region] });
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  hook.disable();
  t.same(timers, []);
  await server.close();
});
