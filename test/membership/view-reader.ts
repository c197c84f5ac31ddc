/** Views as a member follows them, over the server's own writers. */
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Change, MembershipEvent } from '../../src/membership/changes.ts';
import { isAttached } from '../../src/membership/member.ts';
import { type ReadResult, ViewReader } from '../../src/membership/view-reader.ts';
import { membershipPages, PAGE_BYTES } from '../../src/memory/layout.ts';
import { encodeRecord } from '../../src/memory/member-record.ts';
import {
  COPY_SEQUENCE,
  COPY_WORDS,
  KIND_LEAVE,
  LOG_LINES,
  MEMBERSHIP_W,
  type MembershipPlace,
  placeAt,
  REASON_CLOSED,
  REASON_CRASHED,
  RECORD_WORDS,
  STATE_FREE,
  STATE_JOINING,
} from '../../src/memory/membership.ts';
import { LogWriter } from '../../src/memory/view-log.ts';
import { binding } from '../../src/native/binding.ts';
import { Random, testSeed } from '../support/random.ts';
import { membershipWords, ViewWriter } from '../support/view-writer.ts';

function region(slots = 8) {
  const { words, place } = membershipWords(slots);
  const writer = new ViewWriter(words, place);
  const reader = new ViewReader(words, place);
  const read = (): { result: ReadResult; events: MembershipEvent[] } => {
    const changes: Change[] = [];
    const result = reader.read(changes);
    return { result, events: changes.map(({ event }) => event) };
  };
  return { words, place, writer, reader, read };
}

/** `join a@3`, `leave a@4 crashed` */
const tell = (event: MembershipEvent): string =>
  `${event.type} ${event.member.name}@${event.view}${event.type === 'leave' ? ` ${event.reason}` : ''}`;

t.test('every kind of view, in order; connect and disconnect change the snapshot only', async (t) => {
  const { writer, reader, read } = region();
  t.same(read(), { result: 'current', events: [] }, 'a region in which nothing has happened');
  writer.connect(1);
  t.same(read().events, []);
  t.equal(reader.records[1]!.state, STATE_JOINING);
  writer.join(1, 'a');
  writer.update(1, [{ type: 'label', text: 'k=v' }]);
  writer.suspect(1);
  writer.recovered(1);
  writer.leave(1, REASON_CRASHED, STATE_JOINING);
  writer.disconnect(1);
  const { result, events } = read();
  t.equal(result, 'current');
  t.same(events.map(tell), ['join a@2', 'update a@3', 'suspect a@4', 'recovered a@5', 'leave a@6 crashed']);
  t.same(events[1]!.member.labels, { k: 'v' });
  t.equal(events[2]!.member.state, 'suspect');
  t.same(events[4]!.member.labels, { k: 'v' }, 'as it was last');
  t.equal(events[0]!.at.getTime(), 1_700_000_000_002);
  t.equal(reader.view, 7);
  t.same(read(), { result: 'current', events: [] });
});

t.test(
  'a reboot is a leave and a join; a reader that begins late sees who is there and no past',
  async (t) => {
    const { writer, reader, read } = region();
    writer.connect(1);
    writer.join(1, 'a', 5);
    t.same(read().events, []);
    t.equal(reader.records[1]!.name, 'a');
    writer.join(1, 'a', 6);
    t.same(read().events.map(tell), ['leave a@3 rebooted', 'join a@3']);
  },
);

t.test('who fell behind the log gets the difference of two tables', async (t) => {
  const { writer, reader, read } = region();
  for (const slot of [1, 2, 3]) {
    writer.connect(slot);
    writer.join(slot, `m${slot}`, slot);
  }
  read();
  writer.leave(1, REASON_CLOSED);
  writer.connect(4);
  writer.join(4, 'new');
  writer.update(2, [{ type: 'address', text: '10.0.0.1' }]);
  // Round and round: the log holds 1024 lines.
  for (let i = 0; i < 2000; i++) {
    writer.suspect(3);
    writer.recovered(3);
  }
  const { result, events } = read();
  t.equal(result, 'current');
  t.same(events.map(tell), ['leave m1@7 closed', 'join new@9', 'update m2@10'], 'and nothing of the third');
  t.equal(reader.view, 4010);
  t.same(reader.records, writer.records);
  writer.suspect(3);
  t.same(read().events.map(tell), ['suspect m3@4011'], 'then it follows the log again');
});

t.test('a slot that was left and taken while nobody looked: leave before join', async (t) => {
  const { writer, read } = region();
  writer.connect(1);
  writer.join(1, 'old', 1);
  read();
  writer.leave(1, REASON_CRASHED);
  writer.connect(1);
  writer.join(1, 'new', 2);
  for (let i = 0; i < 1000; i++) writer.update(1, []);
  t.same(
    read().events.map(({ type, member }) => `${type} ${member.name}`),
    ['leave old', 'join new'],
  );
});

t.test('a damaged record of the log costs nothing: the table has it', async (t) => {
  const { words, place, writer, reader, read } = region();
  writer.connect(1);
  read();
  const position = writer.log.end;
  writer.join(1, 'a');
  writer.connect(2);
  words[place.log + (position & (LOG_LINES - 1)) * 16 + 8]! ^= 1;
  const { result, events } = read();
  t.equal(result, 'current');
  t.same(events.map(tell), ['join a@2']);
  t.same(reader.records, writer.records);
});

t.test('a log whose end was turned back or forth misleads nobody', async (t) => {
  for (const by of [-1, 1, 5, LOG_LINES, 1 << 30]) {
    const { words, place, writer, reader, read } = region();
    writer.connect(1);
    read();
    writer.join(1, 'a');
    writer.connect(2);
    words[place.header + MEMBERSHIP_W.logEnd]! += by;
    const first = read();
    t.equal(first.result, 'current', `${by}`);
    t.same(first.events.map(tell), ['join a@2']);
    t.equal(reader.view, 3);
    writer.join(2, 'b');
    t.same(read().events.map(tell), ['join b@4']);
  }
  const { words, place, writer, read } = region();
  writer.connect(1);
  read();
  const end = writer.log.end;
  writer.join(1, 'a');
  words[place.header + MEMBERSHIP_W.logEnd] = end;
  t.same(read().events.map(tell), ['join a@2'], 'an end that stands still while the table goes on');
});

/** View 3 of somebody who knows the format: member 1 has crashed. A checksum is no signature (docs/security.md). */
function forgeLeave(words: Int32Array, place: MembershipPlace, writer: ViewWriter): void {
  const forged = {
    ...writer.records[1]!,
    view: 3,
    kind: KIND_LEAVE,
    reason: REASON_CRASHED,
    state: STATE_FREE,
  };
  new LogWriter(words, place, writer.log.end).append(encodeRecord(forged));
}

t.test('a forged record of the log is believed until the server publishes its next view', async (t) => {
  const { words, place, writer, reader, read } = region();
  writer.connect(1);
  writer.join(1, 'a', 7);
  read();
  forgeLeave(words, place, writer);
  t.same(read().events.map(tell), ['leave a@3 crashed']);
  writer.connect(5);
  t.same(read().events.map(tell), ['join a@2'], 'the table bears witness');
  t.same(reader.records, writer.records, 'the truth');
});

t.test('what the server writes again at our request is the truth, even if it is older', async (t) => {
  const { words, place, writer, reader, read } = region();
  writer.connect(1);
  writer.join(1, 'a', 7);
  read();
  forgeLeave(words, place, writer);
  read();
  words[place.header + MEMBERSHIP_W.logEnd] = writer.log.end;
  t.match(reader.adopt([], false), { damaged: 'the table is of view 2, after view 3' });
  writer.rewrite();
  const changes: Change[] = [];
  t.equal(reader.adopt(changes, true), 'current');
  t.same(
    changes.map(({ event }) => tell(event)),
    ['join a@2'],
  );
  t.same(reader.records, writer.records);
});

t.test(
  'a table that cannot be read is damage, and one that is older too, unless it was asked for',
  async (t) => {
    const { words, place, writer, reader, read } = region();
    writer.connect(1);
    writer.join(1, 'a');
    read();
    const log = words[place.header + MEMBERSHIP_W.logEnd]!;
    const spoil = (): void => {
      for (const table of place.tables) words[table + RECORD_WORDS + 10]! ^= 0x100;
      words[place.header + MEMBERSHIP_W.logEnd] = log + 5;
    };
    spoil();
    t.match(read(), { result: { damaged: /slot 1/ }, events: [] });
    t.equal(reader.records[1]!.name, 'a', 'what was known stays');
    writer.rewrite();
    t.equal(reader.adopt([], true), 'current');
    for (const copy of [0, 1])
      words[place.header + MEMBERSHIP_W.copy + copy * COPY_WORDS + COPY_SEQUENCE] = 1;
    words[place.header + MEMBERSHIP_W.logEnd] = log + 5;
    t.match(read(), { result: { damaged: 'no copy of it is ever finished' } });
    writer.rewrite();
    t.equal(reader.adopt([], true), 'current');
    t.same(reader.records, writer.records);
  },
);

t.test(
  'random scribbles over all of it: no exception, no hang, nothing out of bounds, then healed',
  async (t) => {
    const seed = testSeed();
    const random = new Random(seed);
    const slots = 8;
    const { words, place, writer, reader } = region(slots);
    const end = place.log + LOG_LINES * 16;
    let damaged = 0;
    for (let round = 0; round < 300; round++) {
      const slot = 1 + random.below(slots - 1);
      const what = random.below(5);
      if (what === 0) writer.connect(slot);
      else if (what === 1) writer.join(slot, `m${random.below(100)}`);
      else if (what === 2) writer.update(slot, [{ type: 'label', text: `n=${round}` }]);
      else if (what === 3) writer.leave(slot, 1 + random.below(6));
      else writer.disconnect(slot);
      const scribbles = random.pick([0, 1, 10, 1000]);
      for (let i = 0; i < scribbles; i++) {
        // The header's few words decide most: half of the time there.
        const at = random.oneIn(2) ? place.header + random.below(80) : place.header + random.below(end);
        words[at] = random.oneIn(2) ? random.bits() : random.below(2048);
      }
      const changes: Change[] = [];
      const result = reader.read(changes);
      if (typeof result === 'object') damaged++;
      for (const { event } of changes) {
        if (event.member.slot < 0 || event.member.slot >= slots)
          t.fail(`slot ${event.member.slot}, seed ${seed}`);
        if (event.type === 'leave' && (event.reason as string) === 'none') t.fail(`no reason, seed ${seed}`);
      }
      if (random.oneIn(5)) {
        writer.rewrite();
        const healed = reader.adopt([], true);
        if (healed !== 'current') t.fail(`not healed: ${JSON.stringify(healed)}, seed ${seed}`);
        for (let s = 0; s < slots; s++) {
          const [now, truth] = [reader.records[s] ?? null, writer.records[s] ?? null];
          if (isAttached(now) !== isAttached(truth)) t.fail(`slot ${s} is not as written, seed ${seed}`);
        }
      }
    }
    t.ok(damaged > 10, `${damaged} times damaged, seed ${seed}`);
  },
);

t.test('snapshots are whole while a writer in another process changes without a pause', async (t) => {
  const slots = 16;
  const bytes = membershipPages(slots) * PAGE_BYTES;
  const memfd = binding.createMemfd('ivshmem-views', bytes, true, false);
  const mapping = binding.mapFile(memfd, 0, bytes, true);
  const program = fileURLToPath(new URL('../support/busy-view-writer.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', program, `${bytes}`, `${slots}`], {
    stdio: ['ignore', 'pipe', 'inherit', memfd],
    env: { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' },
  });
  closeSync(memfd);
  t.teardown(() => {
    child.kill('SIGKILL');
    mapping.close();
  });
  await new Promise((resolve) => child.stdout!.once('data', resolve));
  const words = new Int32Array(mapping.buffer);
  const place = placeAt(0, slots);
  let views = 0;
  const deadline = performance.now() + 30_000;
  for (let n = 0; n < 3000 && performance.now() < deadline; n++) {
    const reader = new ViewReader(words, place);
    const result = reader.read([]);
    if (result !== 'current') t.fail(JSON.stringify(result));
    const { view } = reader;
    if (view > slots) views++;
    // View v is of slot 1 + v mod 15: the newest one of each slot up to `view`, and no other.
    for (let slot = 1; slot < slots && view > slots; slot++) {
      const newest = view - ((view - (slot - 1) + 15 * 4) % 15);
      const record = reader.records[slot]!;
      if (record.view !== newest || record.generation !== newest)
        t.fail(`at view ${view} slot ${slot} is of view ${record.view}, not ${newest}`);
    }
  }
  t.ok(views > 100, `${views} snapshots`);
  // And one reader that follows all along never goes back.
  const follower = new ViewReader(words, place);
  let last = 0;
  for (let n = 0; n < 3000; n++) {
    const result = follower.read([]);
    if (typeof result === 'object') t.fail(JSON.stringify(result));
    if (follower.view < last) t.fail(`view ${follower.view} after ${last}`);
    last = follower.view;
  }
  t.ok(last > views);
});
