/** A server that dies while it publishes a view: who reads the log misses nothing, and sees nothing twice. */
import t from 'tap';
import { Publication } from '../../../src/host/region/publication.ts';
import { membershipPages, PAGE_BYTES } from '../../../src/memory/layout.ts';
import { encodeRecord, type MemberRecord } from '../../../src/memory/member-record.ts';
import { readTable } from '../../../src/memory/member-table.ts';
import {
  KIND_UPDATE,
  MEMBERSHIP_W,
  placeAt,
  REASON_NONE,
  STATE_ACTIVE,
} from '../../../src/memory/membership.ts';
import { readLog } from '../../../src/memory/view-log.ts';

const SLOTS = 4;
const place = placeAt(0, SLOTS);

const record = (view: number): Int32Array => {
  const about = { view, kind: KIND_UPDATE, reason: REASON_NONE, state: STATE_ACTIVE, slot: (view % 3) + 1 };
  const client = { pid: 1, uid: 2, gid: 3, backend: 1, epoch: 1, generation: 7, time: view };
  const rest = { name: `m${view}`, listenersTruncated: false, items: [] };
  return encodeRecord({ ...about, ...client, ...rest } as MemberRecord);
};
const slotOf = (view: number): number => (view % 3) + 1;
/** What a server restores from: the newest record of each slot. */
const records = (view: number): (Int32Array | null)[] =>
  Array.from({ length: SLOTS }, (_, slot) => {
    for (let v = view; v > 0; v--) if (slotOf(v) === slot) return record(v);
    return null;
  });

/** Three views published, a reader behind the third, and a fourth that a server kept before it died. */
function scene() {
  const words = new Int32Array((membershipPages(SLOTS) * PAGE_BYTES) / 4);
  const server = new Publication(words, place, 0);
  server.rewrite(records(0), 0);
  for (let view = 1; view <= 3; view++) server.write(slotOf(view), record(view), view);
  return { words, server, position: words[place.header + MEMBERSHIP_W.logEnd]! };
}

/** The next server, which goes on with view 4, and publishes view 5. */
function next(words: Int32Array, newest: Int32Array | null): void {
  const server = new Publication(words, place, 4, newest);
  server.rewrite(records(4), 4);
  server.write(slotOf(5), record(5), 5);
}

/** The views that a reader finds from a position on. */
function read(words: Int32Array, from: number): (number | string)[] {
  const views: (number | string)[] = [];
  for (let at = from; ; ) {
    const result = readLog(words, place, at);
    if (typeof result === 'string') return result === 'end' ? views : [...views, result];
    views.push(result.record.view);
    at = result.next;
  }
}

t.test('before it wrote anything of the view', async (t) => {
  const { words, position } = scene();
  next(words, record(4));
  t.same(read(words, position), [4, 5]);
  t.match(readTable(words, place), { view: 5 });
});

t.test('with the record half written', async (t) => {
  const { words, position } = scene();
  const at = place.log + (position & 1023) * 16;
  words.set(record(4).subarray(0, 9), at);
  next(words, record(4));
  t.same(read(words, position), [4, 5]);
});

t.test('with the log written and the table not', async (t) => {
  const { words, server, position } = scene();
  const before = words.slice();
  server.write(slotOf(4), record(4), 4);
  // Everything but the log and its positions as it was.
  const positions = [MEMBERSHIP_W.logStart, MEMBERSHIP_W.logEnd].map((at) => words[place.header + at]!);
  words.set(before.subarray(0, place.log));
  words.set(positions, place.header + MEMBERSHIP_W.logStart);
  t.match(readTable(words, place), { view: 3 }, 'the table has not got it');
  next(words, record(4));
  t.same(read(words, position), [4, 5], 'each once');
  t.match(readTable(words, place), { view: 5 });
});

t.test('after it finished the view', async (t) => {
  const { words, server, position } = scene();
  server.write(slotOf(4), record(4), 4);
  next(words, record(4));
  t.same(read(words, position), [4, 5]);
});

t.test('with more than one view missing, or a log that makes no sense, readers take the table', async (t) => {
  const { words, position } = scene();
  const server = new Publication(words, place, 6, record(6));
  server.rewrite(records(6), 6);
  t.same(read(words, position), ['behind']);

  const other = scene();
  other.words[place.header + MEMBERSHIP_W.logEnd]! += 5;
  next(other.words, record(4));
  t.same(read(other.words, other.position), ['behind']);

  const third = scene();
  next(third.words, null);
  t.same(read(third.words, third.position), ['behind'], 'nobody knows the record');
});
