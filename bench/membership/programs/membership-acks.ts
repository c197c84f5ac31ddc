import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MembershipEvent, open } from '../../../src/index.ts';
import { PAGE_BYTES } from '../../../src/memory/layout.ts';
import { binding } from '../../../src/native/binding.ts';
import { type Ack, ackWords, firstSeen, type Look, type Told, type Watch, wordBase } from '../acks.ts';
import { now } from '../clock.ts';
import { serve } from './serve.ts';

// Looks at the words in which members in VMs say what they see, without a pause. Argument: the server's socket.
const [socket] = process.argv.slice(2);
const region = await open({ socket, name: 'acks' });
const membership = await region.membership();
let told: Told[] = [];
let acks: Ack[] = [];

function tell(event: MembershipEvent): void {
  const { type, view, member } = event;
  told.push({ type, view, name: member.name, ...(event.type === 'leave' ? { reason: event.reason } : {}) });
}
membership.on('join', tell).on('leave', tell);

/** The members in VMs, by name. */
function guests(): { readonly name: string; readonly slot: number }[] {
  return membership
    .list()
    .filter(({ name }) => name.startsWith('guest'))
    .map(({ name, slot }) => ({ name, slot }));
}

/** How long to look before events get their turn. */
const TURN_NS = 3e6;

class Looker {
  readonly #all = new Int32Array(region.device.memory, 0, (region.header.heapPage * PAGE_BYTES) / 4);
  readonly #places = guests().flatMap(({ slot }) =>
    Array.from({ length: ackWords.count }, (_, word) => ({
      slot,
      word,
      at: wordBase(region.header, slot) + word,
    })),
  );
  readonly #values = this.#places.map(({ at }) => Atomics.load(this.#all, at));

  /** Notes every change of the words for a while. Other processes get the processor whenever they want it. */
  turn(): void {
    for (const end = now() + TURN_NS; ; ) {
      const at = now();
      for (const [i, place] of this.#places.entries()) {
        const value = Atomics.load(this.#all, place.at);
        if (value === this.#values[i]) continue;
        this.#values[i] = value;
        acks.push({ slot: place.slot, word: place.word, value, at });
      }
      if (at > end) return;
      binding.yieldProcessor();
    }
  }
}

/** Resolves when everybody has seen the change, or the limit has passed: what is missing then is for the caller to find. */
async function look({ type, name, slots, words, limitMs }: Look): Promise<Watch> {
  acks = [];
  told = [];
  const looker = new Looker();
  for (const end = now() + limitMs * 1e6; now() < end; ) {
    looker.turn();
    await nextTurn();
    const event = told.find((one) => one.type === type && one.name === name);
    if (event === undefined) continue;
    if (words.every((word) => firstSeen(acks, slots, word, event.view).every((seen) => seen !== null))) break;
  }
  return { acks, told };
}

serve({
  ready: () => guests(),
  look,
});
