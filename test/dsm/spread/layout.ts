import t from 'tap';
import { SPREAD } from '../../../src/dsm/spread/layout.ts';
import { binding, SPREAD_OUTCOMES } from '../../../src/native/binding.ts';

t.test('both sides have the same numbers', async (t) => {
  t.strictSame({ ...SPREAD }, { ...binding.spreadAbi });
  t.equal(SPREAD_OUTCOMES.length, 9);
});
