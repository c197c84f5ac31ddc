import { fileURLToPath } from 'node:url';
import t from 'tap';
import { lacking } from '../support/native-build.ts';
import { clean, refute, verify } from './support/verify.ts';

// Searches every interleaving of doorbell.pml, and of its mutants, each of which lacks one step of the protocol.

const model = fileURLToPath(new URL('doorbell.pml', import.meta.url));
const skip = lacking('spin', 'cc');
const LOST = 'assertion violated (consumed==';

const layouts = { 'a pending word each': 'PER_WORD=1', 'one pending word for all': 'PER_WORD=2' };

for (const [name, layout] of Object.entries(layouts)) {
  t.test(`no wake-up is lost: ${name}`, { skip }, async (t) => clean(t, await verify(model, [layout])));
  t.test(`every message is consumed: ${name}`, { skip }, async (t) =>
    clean(t, await verify(model, [layout], true)),
  );
}
t.test('no wake-up is lost: three senders', { skip }, async (t) =>
  clean(t, await verify(model, ['SENDERS=3', 'MESSAGES=1', 'PER_WORD=2'])),
);

const mutants = [
  'NO_SENDER_FENCE',
  'NO_RING_FENCE',
  'NO_RING_RECHECK',
  'NO_SLEEP_FENCE',
  'NO_SLEEP_RECHECK',
  'DOORBELL_FIRST',
  'SUMMARY_FIRST',
  'PENDING_CLEARED_LATE',
  'SUMMARY_CLEARED_LATE',
];
for (const mutant of mutants) {
  t.test(`a wake-up is lost: ${mutant}`, { skip }, async (t) =>
    t.match(await refute(model, [mutant]), LOST, 'spin finds it'),
  );
}
