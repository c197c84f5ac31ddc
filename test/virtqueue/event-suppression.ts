import t from 'tap';
import {
  EVENT_DISABLE,
  EVENT_ENABLE,
  eventAt,
  eventWord,
  wantsEvent,
} from '../../src/virtqueue/event-suppression.ts';

t.test('§2.8.10: ENABLE always, DISABLE never', async (t) => {
  for (let from = 0; from < 8; from++) {
    t.ok(wantsEvent(EVENT_ENABLE, from, (from + 1) & 7, 4));
    t.notOk(wantsEvent(EVENT_DISABLE, from, (from + 1) & 7, 4));
  }
});

t.test(
  '§2.8.10: DESC exactly when the burst passes the descriptor, for every burst of every position',
  async (t) => {
    for (const size of [2, 4, 8, 32]) {
      const lap = 2 * size;
      for (let from = 0; from < lap; from++) {
        for (let length = 0; length <= size; length++) {
          const passed = new Set(Array.from({ length }, (_, i) => (from + i) % lap));
          for (let event = 0; event < lap; event++) {
            const wants = wantsEvent(eventAt(event, size), from, (from + length) % lap, size);
            if (wants !== passed.has(event))
              t.fail(`size ${size}, burst ${from}+${length}, event ${event}: ${wants}`);
          }
        }
      }
    }
    t.pass('compared');
  },
);

t.test('§2.8.10: the wrap counter tells the same offset of two laps apart', async (t) => {
  t.ok(wantsEvent(eventWord(2, 1, 1), 0, 2, 4), 'descriptor 1 of the first lap');
  t.notOk(wantsEvent(eventWord(2, 1, 0), 0, 2, 4), 'descriptor 1 of the second lap');
  t.ok(wantsEvent(eventWord(2, 1, 0), 3, 6, 4), 'a burst across the end reaches it');
});

t.test(
  '§2.8.14: what is no valid structure counts as enabled, for a lost event is worse than a needless one',
  async (t) => {
    t.ok(wantsEvent(eventWord(3, 0, 0), 0, 1, 4), 'flags 3 are reserved');
    t.ok(wantsEvent(eventWord(2, 4, 1), 0, 1, 4), 'offset beyond the ring');
    t.ok(wantsEvent(eventWord(2, 0x7fff, 0), 0, 1, 4));
    t.notOk(wantsEvent(EVENT_DISABLE | (0x3fff << 18), 0, 1, 4), 'reserved bits are not looked at');
  },
);

t.test('§2.8.1: wrap counters start at 1', async (t) => {
  t.equal(eventAt(0, 8), eventWord(2, 0, 1));
  t.equal(eventAt(7, 8), eventWord(2, 7, 1));
  t.equal(eventAt(8, 8), eventWord(2, 0, 0));
  t.equal(eventAt(15, 8), eventWord(2, 7, 0));
});
