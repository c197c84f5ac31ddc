/** Draws the pictures of docs/dsm-hosts.md: `npx tsx scripts/dsm-pictures.ts` writes them to docs/images. */
import { writeFileSync } from 'node:fs';

/** Colours on a white card, so that a dark page changes nothing. */
const INK = '#1f2328';
const SOFT = '#57606a';
const COLOURS = { plain: INK, good: '#1a7f37', bad: '#cf222e', data: '#0550ae' } as const;
type Colour = keyof typeof COLOURS;

function card(width: number, height: number, label: string, parts: readonly string[]): string {
  const heads = Object.entries(COLOURS).map(
    ([name, colour]) =>
      `<marker id="${name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="${colour}"/></marker>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}" font-family="system-ui, sans-serif" font-size="13">
<defs>${heads.join('')}</defs>
<rect width="${width}" height="${height}" rx="8" fill="#ffffff"/>
${parts.join('\n')}
</svg>
`;
}

const text = (x: number, y: number, words: string, fill = INK, more = 'text-anchor="middle"'): string =>
  `<text x="${x}" y="${y}" fill="${fill}" ${more}>${words}</text>`;

const box = (x: number, y: number, width: number, height: number, fill: string): string =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="6" fill="${fill}" stroke="${SOFT}"/>`;

function arrow(
  from: readonly [number, number],
  to: readonly [number, number],
  colour: Colour,
  dashed = false,
): string {
  const dash = dashed ? ' stroke-dasharray="5 4"' : '';
  return `<path d="M${from[0]} ${from[1]}L${to[0]} ${to[1]}" stroke="${COLOURS[colour]}" stroke-width="1.6" fill="none"${dash} marker-end="url(#${colour})"/>`;
}

/** What happens, from top to bottom: a message between two of the actors, or a remark at one. */
type Step =
  | {
      readonly from: number;
      readonly to: number;
      readonly say: string;
      readonly colour?: Colour;
      readonly lost?: boolean;
    }
  | { readonly at: number; readonly note: string; readonly colour?: Colour };

function sequence(
  label: string,
  hosts: readonly [string, number][],
  actors: readonly string[],
  steps: readonly Step[],
): string {
  const [gap, left, step, top] = [190, 130, 40, 84];
  const x = (actor: number): number => left + actor * gap;
  const height = top + steps.length * step + 24;
  const width = 2 * left + (actors.length - 1) * gap;
  const parts: string[] = [];
  let first = 0;
  for (const [host, count] of hosts) {
    const from = x(first) - gap / 2 + 8;
    parts.push(
      `<rect x="${from}" y="12" width="${count * gap - 16}" height="${height - 24}" rx="8" fill="#f6f8fa"/>`,
      text(from + (count * gap - 16) / 2, 32, host, SOFT),
    );
    first += count;
  }
  actors.forEach((actor, i) => {
    parts.push(box(x(i) - 70, 42, 140, 26, '#ffffff'), text(x(i), 60, actor));
    parts.push(`<path d="M${x(i)} 68V${height - 20}" stroke="${SOFT}" stroke-dasharray="2 4"/>`);
  });
  steps.forEach((one, i) => {
    const y = top + (i + 0.6) * step;
    const colour = one.colour ?? 'plain';
    if ('note' in one) {
      const half = one.note.length * 3.5 + 10;
      parts.push(
        box(x(one.at) - half, y - 20, 2 * half, 26, '#fff8c5'),
        text(x(one.at), y - 3, one.note, COLOURS[colour]),
      );
      return;
    }
    const [from, to] = [x(one.from), x(one.to)];
    const end = one.lost === true ? from + (to - from) * 0.6 : to;
    parts.push(
      arrow([from, y], [end, y], colour, one.lost),
      text((from + to) / 2, y - 7, one.say, COLOURS[colour]),
    );
    if (one.lost === true) parts.push(text(end + 14 * Math.sign(to - from), y + 5, '✕', COLOURS.bad));
  });
  return card(width, height, label, parts);
}

function states(): string {
  const place = { none: [120, 190], shared: [400, 80], owned: [680, 190], lost: [400, 300] } as const;
  const state = (name: keyof typeof place, title: string, words: string, fill: string): string => {
    const [x, y] = place[name];
    return (
      box(x - 95, y - 30, 190, 60, fill) +
      text(x, y - 6, title, INK, 'text-anchor="middle" font-weight="600"') +
      text(x, y + 14, words, SOFT)
    );
  };
  return card(800, 380, 'States of a page on one host: nothing, shared to read, owned to write, lost', [
    state('none', 'nothing', 'an access asks the node', '#f6f8fa'),
    state('shared', 'shared', 'this host may read', '#ddf4ff'),
    state('owned', 'owned', 'the only copy; may write', '#dafbe1'),
    state('lost', 'lost', 'an access is an error', '#ffebe9'),
    arrow([175, 158], [303, 96], 'data'),
    text(168, 112, 'load: a copy comes', COLOURS.data),
    arrow([497, 96], [625, 158], 'data'),
    text(640, 112, 'store: other copies go', COLOURS.data),
    arrow([585, 176], [462, 112], 'plain'),
    text(478, 164, 'another host loads', INK),
    arrow([338, 112], [217, 176], 'plain'),
    text(322, 164, 'another host stores', INK),
    arrow([584, 202], [217, 202], 'plain'),
    text(400, 220, 'another host stores, or there is no room:', INK),
    text(400, 238, 'the page goes with its bytes', INK),
    arrow([150, 222], [303, 290], 'bad', true),
    text(150, 282, 'the host with the only copy died', COLOURS.bad),
    text(
      400,
      356,
      'Per page: one host owns it, or any number share it. Members of one host use the same frame.',
      SOFT,
    ),
  ]);
}

const images = new URL('../docs/images/', import.meta.url);
const write = (name: string, picture: string): void => writeFileSync(new URL(name, images), picture);

write('dsm-states.svg', states());
write(
  'dsm-write-fault.svg',
  sequence(
    'A store to a page that another host owns: messages from the fault to the mapping',
    [
      ['host a', 2],
      ['host b', 2],
    ],
    ['member of a', 'node of a', 'node of b', 'member of b'],
    [
      { at: 0, note: 'a store faults; its thread waits' },
      { from: 0, to: 1, say: 'fault ring, doorbell' },
      { from: 1, to: 2, say: 'request: write' },
      { at: 2, note: 'home of the page: b owns it' },
      { from: 2, to: 3, say: 'restrict' },
      { at: 3, note: 'mapping taken away' },
      { from: 3, to: 2, say: 'acknowledged' },
      { from: 2, to: 1, say: 'data: 4 KiB over TLS', colour: 'data' },
      { from: 1, to: 0, say: 'map, to write', colour: 'good' },
      { at: 0, note: 'the store is made again', colour: 'good' },
      { from: 1, to: 2, say: 'done' },
    ],
  ),
);
write(
  'dsm-host-death.svg',
  sequence(
    'A host dies: its lease ends, a view without it is installed, what only it had is lost',
    [
      ['host a', 1],
      ['host b', 2],
      ['host c', 1],
    ],
    ['node of a', 'member of b', 'node of b', 'node of c'],
    [
      { from: 0, to: 2, say: 'signs of life' },
      { at: 0, note: 'dies', colour: 'bad' },
      { from: 1, to: 2, say: 'fault: page of a' },
      { from: 2, to: 0, say: 'request', lost: true },
      { at: 2, note: 'waits until the lease of a ends' },
      { from: 2, to: 3, say: 'view without a: agreed' },
      { from: 3, to: 2, say: 'report of pages held' },
      { from: 2, to: 3, say: 'report of pages held' },
      { at: 2, note: 'c has a copy: it lives on', colour: 'good' },
      { from: 3, to: 2, say: 'data', colour: 'data' },
      { at: 2, note: 'nobody has one: lost', colour: 'bad' },
      { from: 2, to: 1, say: 'fail: lost', colour: 'bad' },
    ],
  ),
);
