import { readFileSync } from 'node:fs';
import t from 'tap';
import { DIRECTORY_W } from '../../src/memory/directory.ts';
import * as layout from '../../src/memory/layout.ts';
import { MAX_ITEMS_BYTES, RECORD_W } from '../../src/memory/member-record.ts';
import * as membership from '../../src/memory/membership.ts';

const document = readFileSync(new URL('../../docs/shared-memory.md', import.meta.url), 'utf8');

/** The rows of the first table below a heading: cells, without the table's own head. */
function table(heading: string, sub?: string): string[][] {
  const section = document.indexOf(`\n## ${heading}`);
  const start = sub === undefined ? section : document.indexOf(`\n### ${sub}`, section);
  const [, body] = /^\|.*\n\|[-|]+\n((?:\|.*\n)+)/m.exec(document.slice(start)) ?? [];
  if (start < 0 || body === undefined) throw new Error(`no table below ${heading}`);
  const cells = (line: string): string[] => line.split('|').slice(1, -1);
  return body
    .trim()
    .split('\n')
    .map((line) => cells(line).map((cell) => cell.trim()));
}

/** field -> word, of a table whose first two columns are words and fields. */
function words(heading: string, sub?: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const row of table(heading, sub)) {
    const numbers = row[0]!.match(/\d+/g)!.map(Number);
    const fields = row[1]!.split(',').map((field) => field.trim());
    for (const [i, field] of fields.entries()) found.set(field, (numbers[0] ?? 0) + i);
  }
  return found;
}

t.test('the header', async (t) => {
  const found = words('Header');
  const { magic0, ...rest } = layout.HEADER_W;
  t.equal(found.get('magic'), magic0);
  for (const [field, word] of Object.entries(rest)) {
    if (field !== 'magic1') t.equal(found.get(field), word, field);
  }
});

t.test('slot table entries', async (t) => {
  const found = words('Slot table entry');
  for (const [field, word] of Object.entries(layout.SLOT_W)) t.equal(found.get(field), word, field);
});

t.test('member blocks', async (t) => {
  const found = words('Member block');
  for (const [field, word] of Object.entries(layout.MEMBER_W)) t.equal(found.get(field), word, field);
  t.equal(layout.MEMBER_W.pending + layout.PENDING_WORDS, 288);
  t.equal(layout.PENDING_WORDS, (layout.SUMMARY_WORDS - layout.DIRECT_WORDS) * 32);
  t.equal(layout.MAX_CHANNELS, layout.PENDING_WORDS * 32);
});

t.test('channel table entries', async (t) => {
  const found = words('Channel table entry');
  for (const [field, word] of Object.entries(layout.CHANNEL_W)) t.equal(found.get(field), word, field);
});

t.test('space table entries', async (t) => {
  const found = words('Space table entry');
  for (const [field, word] of Object.entries(layout.SPACE_W)) t.equal(found.get(field), word, field);
  t.ok(layout.SPACE_W.name * 4 + layout.SPACE_NAME_BYTES <= layout.SPACE_BYTES);
});

t.test('the membership part and its records', async (t) => {
  const header = words('Membership');
  for (const [field, word] of Object.entries(membership.MEMBERSHIP_W))
    t.equal(header.get(field), word, field);
  const record = words('Membership', 'Records');
  for (const [field, word] of Object.entries(RECORD_W)) t.equal(record.get(field), word, field);
  t.match(document, `at most ${MAX_ITEMS_BYTES} |`);
  const listed = (heading: string): string[] =>
    new RegExp(`^${heading}: (.*)\\.$`, 'm').exec(document)![1]!.split(', ');
  t.strictSame(
    listed('Reasons'),
    membership.REASONS.map((reason, i) => `${i} ${reason}`),
  );
  for (const line of listed('Kinds')) {
    const [number, name] = line.split(' ');
    t.equal(
      (membership as Record<string, unknown>)[`KIND_${name!.toUpperCase()}`],
      Number(number),
      String(name),
    );
  }
  const states = /^States: ((?:.|\n)*?)\.$/m.exec(document)![1]!;
  for (const [, number, name] of states.matchAll(/(\d) (\w+)/g))
    t.equal(
      (membership as Record<string, unknown>)[`STATE_${name!.toUpperCase()}`],
      Number(number),
      String(name),
    );
});

t.test('the directory', async (t) => {
  const found = words('Directory');
  const { magic0, magic1, ...rest } = DIRECTORY_W;
  t.equal(found.get('magic'), magic0);
  t.equal(magic1, 1);
  for (const [field, word] of Object.entries(rest)) t.equal(found.get(field), word, field);
});

t.test('operations and statuses', async (t) => {
  for (const [, number, name] of document.matchAll(/^\| (\d+) ([A-Z_]+) \|/gm)) {
    t.equal((layout as Record<string, unknown>)[`OP_${name}`], Number(number), `OP_${name}`);
  }
  const statuses: [string, number][] = [
    ['ok', layout.STATUS_OK],
    ['version', layout.STATUS_VERSION],
    ['no such service', layout.STATUS_NO_SERVICE],
    ['no memory', layout.STATUS_NO_MEMORY],
    ['no such channel', layout.STATUS_NO_CHANNEL],
    ['name taken', layout.STATUS_NAME_TAKEN],
    ['bad request', layout.STATUS_BAD_REQUEST],
    ['not attached', layout.STATUS_NOT_ATTACHED],
    ['quota', layout.STATUS_QUOTA],
    ['evicted', layout.STATUS_EVICTED],
    ['no such space', layout.STATUS_NO_SPACE],
    ['space exists', layout.STATUS_SPACE_EXISTS],
    ['space is smaller', layout.STATUS_SPACE_DIFFERS],
    ['other hosts are needed', layout.STATUS_NO_HOSTS],
    ['not allowed by the configuration of the server', layout.STATUS_FORBIDDEN],
  ];
  const line = /^Status: (.*)\.$/m.exec(document)![1]!;
  t.equal(line, statuses.map(([name, number]) => `${number} ${name}`).join(', '));
});

t.test('the structures do not overlap, and channel memory is laid out as told', async (t) => {
  const pages = layout.tablePages(layout.MAX_SLOTS, layout.MAX_CHANNELS);
  t.equal(pages.memberPage - pages.slotTablePage, 4);
  t.equal(pages.channelTablePage - pages.memberPage, layout.MAX_SLOTS);
  t.equal(pages.membershipPage - pages.channelTablePage, 128);
  t.equal(pages.spacePage - pages.membershipPage, 1 + 2 * 64 + 16);
  t.equal(pages.heapPage - pages.spacePage, 4);
  const before = layout.tablePages(layout.MAX_SLOTS, layout.MAX_CHANNELS, 1);
  t.same({ ...before, heapPage: 0 }, { ...pages, heapPage: 0 }, 'nothing else moved');
  t.equal(before.heapPage, before.spacePage);
  const { directions, bytes } = layout.channelLayout(256, 8192);
  for (const { ring, driverEvent, deviceEvent, data } of directions) {
    t.equal(driverEvent - ring, 16 * 256);
    t.equal(deviceEvent - driverEvent, layout.SUPPRESSION_STRIDE);
    t.equal(data % layout.PAGE_BYTES, 0);
    t.ok(data >= deviceEvent + layout.SUPPRESSION_STRIDE);
  }
  t.equal(directions[1].ring, directions[0].data + 8192);
  t.equal(bytes, directions[1].data + 8192);
});
