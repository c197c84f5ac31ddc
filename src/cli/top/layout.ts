import { formatBytes } from '../print.ts';
import { cells, fit, plain } from '../table.ts';
import type { ChannelRow, MemberRow, Sort, TopModel } from './model.ts';

/** Part of a line in one style. */
export interface Span {
  readonly text: string;
  readonly color?: 'green' | 'yellow' | 'red' | 'cyan';
  readonly bold?: boolean;
  readonly dim?: boolean;
  readonly inverse?: boolean;
}
export type Line = readonly Span[];

export interface Frame {
  readonly columns: number;
  /** Lines there is room for; the frame has exactly as many. */
  readonly rows: number;
  /** First line of the body to show. */
  readonly scroll: number;
  readonly sort: Sort;
  /** Where this comes from, and what goes wrong. */
  readonly note: string | null;
}

interface Column<Row> {
  readonly heading: string;
  readonly width: number;
  readonly align?: 'right';
  readonly color?: (row: Row) => Span['color'];
  text(row: Row): string;
}

const STATE_COLORS = { joining: 'cyan', active: 'green', suspect: 'red', leaving: 'yellow' } as const;

const memberColumns: readonly Column<MemberRow>[] = [
  { heading: 'SLOT', width: 4, align: 'right', text: ({ member }) => String(member.slot) },
  { heading: 'EPOCH', width: 5, align: 'right', text: ({ member }) => String(member.epoch) },
  { heading: 'NAME', width: 20, text: ({ member }) => plain(member.name) || '-' },
  {
    heading: 'STATE',
    width: 7,
    text: ({ member }) => member.state,
    color: ({ member }) => STATE_COLORS[member.state],
  },
  { heading: 'VIA', width: 4, text: ({ member }) => (member.backend === 'unknown' ? '-' : member.backend) },
  { heading: 'CHAN', width: 4, align: 'right', text: ({ channels }) => String(channels) },
  { heading: 'SOCKETS', width: 9, align: 'right', text: ({ sockets }) => socketsText(sockets) },
  { heading: 'MSG/S OUT', width: 9, align: 'right', text: ({ sent }) => rate(sent.messages) },
  { heading: 'MSG/S IN', width: 9, align: 'right', text: ({ received }) => rate(received.messages) },
  { heading: 'B/S OUT', width: 10, align: 'right', text: ({ sent }) => byteRate(sent.bytes) },
  { heading: 'B/S IN', width: 10, align: 'right', text: ({ received }) => byteRate(received.bytes) },
  { heading: 'BELL/S', width: 7, align: 'right', text: ({ sent }) => rate(sent.doorbells) },
  { heading: 'SLEEP/S', width: 7, align: 'right', text: ({ sent }) => rate(sent.sleeps) },
  { heading: 'ADDRESSES', width: 0, text: ({ member }) => plain(member.addresses.join(' ')) },
];

const channelColumns: readonly Column<ChannelRow>[] = [
  { heading: 'CHANNEL', width: 7, align: 'right', text: ({ channel }) => String(channel.number) },
  { heading: 'CONNECTOR', width: 20, text: ({ connector }) => plain(connector) },
  { heading: 'LISTENER', width: 20, text: ({ listener }) => plain(listener) },
  { heading: 'MSG/S >', width: 9, align: 'right', text: ({ forth }) => rate(forth.messages) },
  { heading: 'MSG/S <', width: 9, align: 'right', text: ({ back }) => rate(back.messages) },
  { heading: 'B/S >', width: 10, align: 'right', text: ({ forth }) => byteRate(forth.bytes) },
  { heading: 'B/S <', width: 10, align: 'right', text: ({ back }) => byteRate(back.bytes) },
  { heading: 'MEMORY', width: 10, align: 'right', text: ({ channel }) => formatBytes(channel.memoryBytes) },
  { heading: '', width: 0, text: ({ channel }) => (channel.ended ? 'one side is gone' : '') },
];

const KEYS = 'q quit   s sort   ↑ ↓ PgUp PgDn scroll';

/** Everything there is to show, as lines of this many cells. */
export function picture(model: TopModel, columns: number): { head: Line[]; body: Line[] } {
  const members = grid(memberColumns, model.members, columns);
  const channels = grid(channelColumns, model.channels, columns);
  return { head: header(model, columns), body: [...members, blank(columns), ...channels] };
}

/** The frame for a terminal of this size, and how far it can be scrolled. */
export function layout(model: TopModel, frame: Frame): { lines: Line[]; scrollMost: number } {
  const { columns, rows } = frame;
  const { head, body } = picture(model, columns);
  const room = Math.max(rows - head.length - 1, 0);
  const scrollMost = Math.max(body.length - room, 0);
  const scroll = Math.min(Math.max(frame.scroll, 0), scrollMost);
  const shown = body.slice(scroll, scroll + room);
  while (shown.length < room) shown.push(blank(columns));
  const lines = [...head, ...shown, footer(frame, scroll, scrollMost)];
  return { lines: lines.slice(0, rows), scrollMost };
}

function header(model: TopModel, columns: number): Line[] {
  const { states, total } = model;
  const held = Object.values(states).reduce((sum, count) => sum + count, 0);
  const more = (['joining', 'suspect', 'leaving'] as const).filter((state) => states[state] > 0);
  const counts = [`${states.active} active`, ...more.map((state) => `${states[state]} ${state}`)].join(', ');
  const first: Span[] = [
    { text: 'ivshmem top', bold: true },
    { text: `  region ${plain(model.region)}, view ${model.view}`, color: 'cyan' },
  ];
  const share = model.heapBytes === 0 ? 0 : model.usedHeapBytes / model.heapBytes;
  const color = share > 0.9 ? 'red' : share > 0.7 ? 'yellow' : 'green';
  const heap = `${formatBytes(model.usedHeapBytes)} of ${formatBytes(model.heapBytes)}`;
  return [
    clip(first, columns),
    // The server holds slot 0.
    clip([{ text: `members   ${held} of ${model.slots - 1}: ${counts}` }], columns),
    clip([{ text: `channels  ${model.channels.length} of ${model.channelEntries - 1}` }], columns),
    clip([{ text: 'heap      ' }, { text: bar(share, 20), color }, { text: `  ${heap}` }], columns),
    clip(
      [
        { text: 'traffic   ' },
        { text: `${rate(total.messages)} messages/s  ${byteRate(total.bytes)}/s`, bold: true },
        { text: `  ${rate(total.doorbells)} doorbells/s  ${rate(total.sleeps)} sleeps/s` },
      ],
      columns,
    ),
    blank(columns),
  ];
}

function footer({ columns, sort, note }: Frame, scroll: number, scrollMost: number): Line {
  const position = scrollMost > 0 ? `   line ${scroll + 1} of ${scrollMost + 1}` : '';
  const said = note === null ? '' : `   ${plain(note)}`;
  return clip([{ text: ` ${KEYS}   by ${sort}${position}${said}`, inverse: true }], columns);
}

/** Headings and rows; columns that do not fit are left out, one of width 0 takes what is left. */
function grid<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width: number): Line[] {
  const shown: Column<Row>[] = [];
  let left = width;
  for (const column of columns) {
    const wanted = column.width === 0 ? column.heading.length : column.width;
    if (left < wanted + 1) break;
    shown.push(column.width === 0 ? { ...column, width: left - 1 } : column);
    left -= column.width === 0 ? left : column.width + 1;
  }
  const headings = shown.map(({ heading, width, align }) => fit(heading, width, align)).join(' ');
  const lines: Line[] = [clip([{ text: headings, bold: true, dim: true }], width)];
  for (const row of rows) {
    const spans = shown.flatMap(({ text, width, align, color }): Span[] => {
      const tint = color?.(row);
      const cell = { text: fit(text(row), width, align) };
      return [tint === undefined ? cell : { ...cell, color: tint }, { text: ' ' }];
    });
    lines.push(clip(spans, width));
  }
  return lines;
}

/** Spans of exactly `columns` cells: a shorter line would leave what was there before. */
function clip(spans: readonly Span[], columns: number): Line {
  const line: Span[] = [];
  let left = columns;
  for (const span of spans) {
    if (left <= 0) break;
    const text = cells(span.text) > left ? fit(span.text, left) : span.text;
    left -= cells(text);
    line.push({ ...span, text });
  }
  const last = line.at(-1);
  const rest = ' '.repeat(Math.max(left, 0));
  if (rest !== '') line.push({ text: rest, ...(last?.inverse ? { inverse: true } : {}) });
  return line;
}

function blank(columns: number): Line {
  return [{ text: ' '.repeat(columns) }];
}

function bar(share: number, width: number): string {
  const full = Math.min(Math.ceil(share * width), width);
  return `[${'█'.repeat(full)}${'·'.repeat(width - full)}]`;
}

/** 1234567 as "1.23M"; "-" when it is not known. */
export function rate(value: number | null): string {
  if (value === null) return '-';
  const units = ['', 'k', 'M', 'G', 'T'];
  let scaled = value;
  let unit = 0;
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  if (unit === 0) return scaled > 0 && scaled < 9.95 ? scaled.toFixed(1) : String(Math.round(scaled));
  return `${scaled.toPrecision(3)}${units[unit]}`;
}

/** How many are on shared memory, of how many there are. */
function socketsText({ sharedMemory, tcp }: MemberRow['sockets']): string {
  return sharedMemory + tcp === 0 ? '-' : `${sharedMemory} of ${sharedMemory + tcp}`;
}

function byteRate(value: number | null): string {
  return value === null ? '-' : formatBytes(Math.round(value));
}

/** A frame as text, without its styles. */
export function textOf(lines: readonly Line[]): string {
  return lines
    .map((line) =>
      line
        .map(({ text }) => text)
        .join('')
        .trimEnd(),
    )
    .join('\n');
}
