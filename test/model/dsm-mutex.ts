import { fileURLToPath } from 'node:url';
import t from 'tap';
import { lacking } from '../support/native-build.ts';
import { clean, refute, verify } from './support/verify.ts';

// Searches every interleaving of dsm-mutex.pml, and of its mutants, each of which lacks one step.

t.setTimeout(280_000);

const model = fileURLToPath(new URL('dsm-mutex.pml', import.meta.url));
const skip = lacking('spin', 'cc');
const TWO = ['MEMBERS=2', 'ROUNDS=2', 'GIVE_UP'];
const LOST = 'assertion violated (finished[n]';
const ROBBED = 'assertion violated ok';

t.test('three members, of which one may die', { skip }, async (t) => clean(t, await verify(model, [])));
t.test('two members that come again, of which one may die and one may give up', { skip }, async (t) =>
  clean(t, await verify(model, TWO)),
);

const mutants: readonly (readonly [string, readonly string[], string])[] = [
  ['NO_FLAG', TWO, LOST],
  ['NO_SECOND_LOOK', TWO, LOST],
  ['BIT_LATE', TWO, LOST],
  ['NO_WAKE', TWO, LOST],
  ['NO_LEAVE', TWO, LOST],
  ['NO_PASS_ON', TWO, LOST],
  ['NO_LOOK_AFTER', [], LOST],
  ['ROB', TWO, ROBBED],
];
for (const [mutant, defines, found] of mutants) {
  const what = found === LOST ? 'a wake-up is lost' : 'a lock has two owners';
  t.test(`${what}: ${mutant}`, { skip }, async (t) =>
    t.match(await refute(model, [...defines, mutant]), found, 'spin finds it'),
  );
}
