import { deepStrictEqual, equal } from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import t from 'tap';
import { membershipPages, PAGE_BYTES } from '../../src/memory/layout.ts';
import { encodeRecord, type MemberRecord } from '../../src/memory/member-record.ts';
import { readTable, TableWriter } from '../../src/memory/member-table.ts';
import { KIND_JOIN, placeAt, RECORD_WORDS, STATE_ACTIVE } from '../../src/memory/membership.ts';
import { LogWriter, readLog } from '../../src/memory/view-log.ts';

const SLOTS = 8;
const place = placeAt(0, SLOTS);
const newWords = () => new Int32Array((membershipPages(SLOTS) * PAGE_BYTES) / 4);

function record(view: number, slot = view % SLOTS, items = randomInt(0, 8)): MemberRecord {
  return {
    view,
    kind: KIND_JOIN,
    reason: 0,
    state: STATE_ACTIVE,
    slot,
    epoch: view,
    generation: view * 7,
    time: 1_700_000_000_123 + view,
    name: `member-${view}`,
    pid: view,
    uid: 0xfffffffe,
    gid: 3,
    backend: 1,
    listenersTruncated: view % 2 === 0,
    items: Array.from({ length: items }, (_, i) => ({
      type: 'label',
      text: `key${i}=${'x'.repeat(i * 11)}é`,
    })),
  };
}

t.test('what is written is read, in order, over the end of the ring and of the counter', async (t) => {
  for (const end of [0, 1000, -8, 0x7ffffffb]) {
    const words = newWords();
    const writer = new LogWriter(words, place, end);
    let position = end;
    for (let view = 1; view < 2000; view++) {
      const written = record(view);
      writer.append(encodeRecord(written));
      const read = readLog(words, place, position);
      if (typeof read === 'string') throw new Error(`view ${view}: ${read}`);
      if (view % 100 === 0) t.strictSame(read.record, written);
      else if (read.record.view !== view) t.fail(`${read.record.view} is not ${view}`);
      position = read.next;
      if (readLog(words, place, position) !== 'end') t.fail('there is more');
    }
  }
});

t.test('a reader that fell behind is told, wherever it is', async (t) => {
  const words = newWords();
  const writer = new LogWriter(words, place);
  const first: number[] = [0];
  for (let view = 1; view < 3000; view++) {
    writer.append(encodeRecord(record(view)));
    first.push(writer.end);
  }
  let whole = 0;
  for (const [i, position] of first.slice(0, -1).entries()) {
    const read = readLog(words, place, position);
    if (read === 'behind') equal(whole, 0, 'only the oldest are gone');
    else if (typeof read === 'string' || read.record.view !== i + 1) t.fail(`${i}: ${JSON.stringify(read)}`);
    else whole++;
  }
  t.ok(whole > 100, `${whole} records are still there`);
  t.equal(readLog(words, place, writer.end + 1), 'behind');
});

t.test('the table has every slot of its view', async (t) => {
  const words = newWords();
  const writer = new TableWriter(words, place);
  t.match(readTable(words, place), { view: 0, records: new Array(SLOTS).fill(null) });
  const now: (MemberRecord | null)[] = new Array(SLOTS).fill(null);
  for (let view = 1; view < 200; view++) {
    const slot = randomInt(SLOTS);
    now[slot] = record(view, slot);
    writer.write(slot, encodeRecord(now[slot]), view, view * 3);
    deepStrictEqual(readTable(words, place), { view, logEnd: view * 3, records: now });
  }
  // Another server goes on with the same memory.
  const heir = new TableWriter(words, place);
  heir.rewrite(
    now.map((one) => one && encodeRecord(one)),
    200,
    9,
  );
  t.strictSame(readTable(words, place), { view: 200, logEnd: 9, records: now });
});

t.test('scribbles are noticed or change nothing, and never throw', async (t) => {
  const words = newWords();
  const table = new TableWriter(words, place);
  const log = new LogWriter(words, place);
  for (let view = 1; view <= SLOTS; view++) {
    const encoded = encodeRecord(record(view));
    log.append(encoded);
    table.write(view % SLOTS, encoded, view, log.end);
  }
  const clean = words.slice();
  const truth = readTable(words, place);
  let damaged = 0;
  for (let round = 0; round < 20_000; round++) {
    words.set(clean);
    const inTable = round % 2 === 0;
    const from = inTable ? place.tables[0] : place.header;
    const to = inTable ? place.log : place.tables[0];
    for (let n = randomInt(1, 4); n > 0; n--) words[randomInt(from, to)] = randomInt(-(2 ** 31), 2 ** 31);
    if (!inTable) words[place.log + randomInt(64 * 16)] = randomInt(-(2 ** 31), 2 ** 31);
    const snapshot = readTable(words, place);
    if ('damaged' in snapshot) damaged++;
    else if (inTable) deepStrictEqual(snapshot, truth);
    const read = readLog(words, place, 0);
    if (typeof read !== 'string' && read.record.slot >= SLOTS) t.fail('a slot that is not there');
  }
  t.ok(damaged > 1000, `${damaged} times the table was damaged`);
  t.equal(RECORD_WORDS, 256);
});
