import t from 'tap';
import { type Change, changesOf } from '../../src/membership/changes.ts';
import { EventQueue, QUEUED_EVENTS } from '../../src/membership/event-queue.ts';
import { REASON_CRASHED } from '../../src/memory/membership.ts';
import { membershipWords, ViewWriter } from '../support/view-writer.ts';

/** A queue over a writer's records; `after` pushes what a change of one slot makes. */
function queue() {
  const { words, place } = membershipWords(8);
  const writer = new ViewWriter(words, place);
  for (const slot of [1, 2, 3]) writer.join(slot);
  const state = { waiting: 0, forgotten: 0 };
  const source = {
    get view() {
      return writer.view;
    },
    get records() {
      return writer.records;
    },
    waiting: (change: 1 | -1) => {
      state.waiting += change;
    },
    forget: () => {
      state.forgotten++;
    },
  };
  const events = new EventQueue(source);
  const push = (slot: number, change: () => void): void => {
    const before = writer.records[slot] ?? null;
    change();
    events.push(changesOf(slot, before, writer.records[slot]!, writer.view));
  };
  return { writer, events, push, state };
}

const next = async (events: EventQueue): Promise<string> => {
  const { done, value } = await events.next();
  return done === true ? 'done' : `${value.type} ${value.member.slot}@${value.view}`;
};

t.test('events in order, also to those who wait already', async (t) => {
  const { writer, events, push, state } = queue();
  push(1, () => writer.suspect(1));
  t.equal(await next(events), 'suspect 1@4');
  const [first, second] = [next(events), next(events)];
  t.equal(state.waiting, 2);
  push(1, () => writer.recovered(1));
  t.equal(await first, 'recovered 1@5');
  t.equal(state.waiting, 1);
  push(4, () => writer.connect(4));
  push(4, () => writer.join(4));
  t.equal(await second, 'join 4@7');
  t.equal(state.waiting, 0);
});

t.test('who asks too seldom gets the difference, and memory stays bounded', async (t) => {
  const { writer, events, push, state } = queue();
  push(1, () => writer.update(1, [{ type: 'label', text: 'first=1' }]));
  t.equal(await next(events), 'update 1@4');
  push(2, () => writer.leave(2, REASON_CRASHED));
  for (let i = 0; i < QUEUED_EVENTS; i++)
    push(1, () => writer.update(1, [{ type: 'label', text: `n=${i}` }]));
  push(5, () => writer.join(5));
  const last = writer.view;
  t.equal(await next(events), 'leave 2@5', 'it knew of the second');
  t.equal(await next(events), `update 1@${last - 1}`);
  t.equal(await next(events), `join 5@${last}`);
  push(3, () => writer.suspect(3));
  t.equal(await next(events), `suspect 3@${last + 1}`, 'and then each event again');
  const waits = next(events);
  t.equal(state.waiting, 1);
  await events.return();
  t.equal(await waits, 'done');
  t.same(state, { waiting: 0, forgotten: 1 });
});

t.test('what was merged and came back to what it was is no event', async (t) => {
  const { writer, events, push } = queue();
  for (let i = 0; i <= QUEUED_EVENTS / 2; i++) {
    push(1, () => writer.suspect(1));
    push(1, () => writer.recovered(1));
  }
  const waits = next(events);
  push(2, () => writer.suspect(2));
  t.equal(await waits, `suspect 2@${writer.view}`);
});

t.test(
  'a member that changes without end merges its own events, and nobody misses those of the others',
  async (t) => {
    const { writer, events, push } = queue();
    const expected: string[] = [];
    const quiet = (slot: number, type: string, change: () => void): void => {
      push(slot, change);
      expected.push(`${type} ${slot}@${writer.view}`);
    };
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < QUEUED_EVENTS; i++)
        push(1, () => writer.update(1, [{ type: 'label', text: `n=${round}.${i}` }]));
      // A whole life between two events of the flood: no difference of two tables would show it.
      quiet(4, 'join', () => writer.join(4));
      quiet(4, 'leave', () => writer.leave(4, REASON_CRASHED));
      quiet(2, 'suspect', () => writer.suspect(2));
      quiet(2, 'recovered', () => writer.recovered(2));
    }
    push(1, () => writer.update(1, [{ type: 'label', text: 'last=1' }]));
    expected.push(`update 1@${writer.view}`);
    const found: string[] = [];
    while (found.length < expected.length) found.push(await next(events));
    t.same(found, expected);
    const waits = next(events);
    push(3, () => writer.suspect(3));
    t.equal(await waits, `suspect 3@${writer.view}`, 'and nothing else');
  },
);

t.test('the end comes after what is in the queue; an error once', async (t) => {
  for (const error of [null, new Error('damaged')]) {
    const { writer, events, push, state } = queue();
    push(1, () => writer.suspect(1));
    events.finish(error);
    events.finish(new Error('not a second time'));
    push(1, () => writer.recovered(1));
    t.equal(await next(events), 'suspect 1@4');
    if (error !== null) await t.rejects(next(events), error);
    t.equal(await next(events), 'done');
    t.same(state, { waiting: 0, forgotten: 1 });
  }
  const { events } = queue();
  const waits: Promise<string>[] = [next(events), next(events)];
  events.finish(new Error('damaged'));
  await t.rejects(waits[0]!, { message: 'damaged' });
  t.equal(await waits[1], 'done', 'one of several who wait gets the error');
});

t.test('leaving a for await forgets the queue', async (t) => {
  const { writer, events, push, state } = queue();
  push(1, () => writer.suspect(1));
  push(2, () => writer.suspect(2));
  for await (const event of events) {
    t.equal(event.view, 4);
    break;
  }
  t.equal(state.forgotten, 1);
  const changes: Change[] = [];
  events.push(changes);
  t.equal(await next(events), 'done');
});
