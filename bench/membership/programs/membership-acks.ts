import { type MembershipEvent, open } from '../../../src/index.ts';
import { binding } from '../../../src/native/binding.ts';
import { type Ack, ackWords, type Told, type Watch, wordBase } from '../acks.ts';
import { now } from '../clock.ts';
import { serve } from './serve.ts';

// Looks at the words in which members in VMs say what they see, without a pause. Arguments: the server's socket, the number of VMs.
const [socket, count] = process.argv.slice(2);
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

/** Notes every change of the words for `ms`. Other processes get the processor whenever they want it. */
function look(ms: number): void {
  const all = new Int32Array(region.device.memory, 0, (region.header.heapPage * 4096) / 4);
  const places = guests().flatMap(({ slot }) =>
    Array.from({ length: ackWords.count }, (_, word) => ({
      slot,
      word,
      at: wordBase(region.header, slot) + word,
    })),
  );
  const values = places.map(({ at }) => Atomics.load(all, at));
  for (const end = now() + ms * 1e6; ; ) {
    const at = now();
    for (const [i, place] of places.entries()) {
      const value = Atomics.load(all, place.at);
      if (value === values[i]) continue;
      values[i] = value;
      acks.push({ slot: place.slot, word: place.word, value, at });
    }
    if (at > end) return;
    binding.yieldProcessor();
  }
}

serve({
  ready: () => ({ guests: guests(), wanted: Number(count) }),
  look: (ms: number) => {
    acks = [];
    told = [];
    look(ms);
  },
  /** After `look`, when the events have come as well. */
  seen: (): Watch => ({ acks, told }),
});
