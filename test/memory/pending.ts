import t from 'tap';
import { DIRECT_WORDS, MAX_CHANNELS, MEMBER_W, PENDING_WORDS } from '../../src/memory/layout.ts';
import { arm, collect, marked, post } from '../../src/memory/pending.ts';

const BASE = 1024;

function block(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(3 * 4096));
}

function collected(words: Int32Array): number[] {
  const seen: number[] = [];
  collect(words, BASE, (index) => seen.push(index));
  return seen;
}

t.test('every index comes out once, ascending, and leaves the block empty', async (t) => {
  const words = block();
  const indices = [0, 1, 31, 32, 33, 255, 256, 1023, 1024, 1055, 4100, 8160, MAX_CHANNELS - 1];
  for (const index of [...indices].reverse()) post(words, BASE, index);
  for (const index of indices) post(words, BASE, index);
  t.same(collected(words), indices);
  t.same(collected(words), []);
  t.ok(words.every((word) => word === 0));
});

t.test('all indices at once', async (t) => {
  const words = block();
  for (let index = 0; index < MAX_CHANNELS; index++) post(words, BASE, index);
  t.equal(
    collect(words, BASE, () => {}),
    MAX_CHANNELS,
  );
  t.notOk(marked(words, BASE));
});

t.test('nothing outside summary and pending words of the block is written', async (t) => {
  const words = block();
  for (let index = 0; index < MAX_CHANNELS; index++) post(words, BASE, index);
  words.forEach((word, at) => {
    const within = at - BASE;
    const direct = within >= MEMBER_W.summary && within < MEMBER_W.summary + DIRECT_WORDS;
    const pending = within >= MEMBER_W.pending + DIRECT_WORDS && within < MEMBER_W.pending + PENDING_WORDS;
    // The first pending words have no summary bit: they are not used.
    const summary = within >= MEMBER_W.summary + DIRECT_WORDS && within < MEMBER_W.pending;
    if (within === MEMBER_W.summary + DIRECT_WORDS) {
      t.equal(word, -1 << DIRECT_WORDS);
      return;
    }
    const mine = direct || pending || summary;
    if (mine !== (word === -1)) t.fail(`word ${at} is ${word}`);
  });
  t.pass('compared');
});

t.test('only the first post to an armed member rings', async (t) => {
  const words = block();
  t.notOk(post(words, BASE, 5), 'awake: no doorbell');
  collected(words);
  t.ok(arm(words, BASE));
  t.ok(post(words, BASE, 5));
  t.notOk(post(words, BASE, 5));
  t.notOk(post(words, BASE, 6));
  t.same(collected(words), [5, 6]);
});

t.test('arming with work left does not sleep', async (t) => {
  const words = block();
  post(words, BASE, 700);
  t.notOk(arm(words, BASE));
  t.equal(words[BASE + MEMBER_W.armed], 0);
  t.same(collected(words), [700]);
  t.ok(arm(words, BASE));
});

t.test('a summary bit whose setter died is set by the next sender', async (t) => {
  const words = block();
  words[BASE + MEMBER_W.pending + 40] = 1 << 3; // the first sender died before the summary
  t.same(collected(words), []);
  post(words, BASE, 40 * 32 + 3);
  t.same(collected(words), [40 * 32 + 3]);
});

t.test('marks made while visiting are kept for the next round', async (t) => {
  const words = block();
  post(words, BASE, 9);
  let again = 3;
  const seen: number[] = [];
  const visit = (index: number): void => {
    seen.push(index);
    if (again-- > 0) post(words, BASE, 9);
  };
  while (collect(words, BASE, visit) > 0);
  t.same(seen, [9, 9, 9, 9]);
});
