/**
 * A hostile member or host process: `flood-program SOCKET updates|lives|clients`. Asks for changes, or comes and goes, as fast as
 * it can, until it is killed or its parent is gone. Says `ready` once it has begun.
 */
import { openHost } from '../../src/backend/host.ts';
import {
  LAYOUT_MAJOR,
  MEMBER_W,
  NAME_BYTES,
  OP_DESCRIBE,
  OP_HELLO,
  OP_SUSPECT,
} from '../../src/memory/layout.ts';
import { encodeItems } from '../../src/memory/member-record.ts';
import { writeName } from '../../src/memory/names.ts';
import { RawMember } from './raw-member.ts';

const [socket = '', how] = process.argv.slice(2);
const parent = process.ppid;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

if (how === 'clients') await comeAndGo();
else await ask(how === 'lives' ? nextLife : nextUpdate);

async function comeAndGo(): Promise<void> {
  let refused = 0;
  process.stdout.write('ready\n');
  while (process.ppid === parent) {
    const clients = await Promise.allSettled(Array.from({ length: 8 }, () => openHost(socket)));
    for (const client of clients) {
      if (client.status === 'fulfilled') client.value.close();
      else refused++;
    }
    if (refused % 64 === 63) await turn();
  }
}

/** Does not wait for answers: what the server sees is the request of the moment. */
async function ask(next: (member: RawMember, n: number) => number): Promise<void> {
  const member = await RawMember.join(socket);
  await member.hello('flooder');
  process.stdout.write('ready\n');
  const at = member.block() + MEMBER_W.request;
  for (let n = 1; process.ppid === parent; n++) {
    member.words[at + 1] = next(member, n);
    Atomics.add(member.words, at, 1);
    member.ringServer();
    if (n % 256 === 0) await turn();
  }
}

function nextUpdate(member: RawMember, n: number): number {
  const items = encodeItems([{ type: 'label', text: `n=${n}${'x'.repeat(200)}` }]);
  new Uint8Array(member.words.buffer, (member.block() + MEMBER_W.draft) * 4, items.length).set(items);
  member.words[member.block() + MEMBER_W.request + 2] = items.length;
  return OP_DESCRIBE;
}

function nextLife(member: RawMember, n: number): number {
  const at = member.block() + MEMBER_W.request + 2;
  if (n % 8 === 0) {
    member.words[at] = 60_000 + n;
    return OP_SUSPECT;
  }
  member.words[at] = LAYOUT_MAJOR << 16;
  member.words[at + 1] = n;
  writeName(member.words, at + 2, NAME_BYTES, 'flooder');
  return OP_HELLO;
}
