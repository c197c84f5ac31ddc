import { setTimeout as delay } from 'node:timers/promises';
import { shuffled } from '../harness/statistics.ts';
import { ackWords, firstSeen, type Look, markSeen, type Watch } from './acks.ts';
import { now } from './clock.ts';
import { baselines } from './polling.ts';
import type { Done } from './programs/membership-member.ts';
import type { Kind } from './sightings.ts';
import type { Guest, Vms } from './vms.ts';

/** One change and when the VMs saw it. */
export interface VmChange {
  readonly round: number;
  readonly kind: Kind;
  /** Who came or went. */
  readonly from: 'host' | 'vm';
  /** A join by a process that never joined before. */
  readonly cold: boolean;
  readonly view: number;
  /** From the cause to the event, milliseconds, at each VM (each other VM). */
  readonly ms: readonly number[];
  /** The same for programs in those VMs that poll; empty for a change in quick succession. */
  readonly polled: Readonly<Record<string, readonly number[]>>;
}

export interface VmRound {
  readonly changes: readonly VmChange[];
  readonly wrong: readonly string[];
}

/** Longest wait for everybody to see a change. */
const LIMIT_MS = 20_000;
/** The process that looks begins within this time. */
const BEGIN_MS = 30;
/** After changes in quick succession: until every poller has seen them. */
const CATCH_UP_MS = 1200;
/** Joins and ends of a host process in quick succession, per round; crashes among them. */
const QUICK_LEAVES = 5;
const QUICK_CRASHES = 2;

type Slots = readonly { readonly name: string; readonly slot: number }[];

interface Step {
  readonly paced: boolean;
  readonly unit: 'leave' | 'crash';
}

/** Changes made by host processes, in random order, then a VM's member closes, and another one is killed. */
export async function vmRound(vms: Vms, round: number, random: () => number): Promise<VmRound> {
  const slots = await vms.acks.ask<Slots>('ready');
  if (slots.length !== vms.guests.length) throw new Error(`${slots.length} members in VMs`);
  const taker = new Taker(vms, round, slots, random);
  const steps: Step[] = [
    { paced: true, unit: 'leave' },
    { paced: true, unit: 'crash' },
    ...Array.from({ length: QUICK_LEAVES }, () => ({ paced: false, unit: 'leave' }) as const),
    ...Array.from({ length: QUICK_CRASHES }, () => ({ paced: false, unit: 'crash' }) as const),
  ];
  for (const [index, step] of shuffled(steps, random).entries())
    await taker.host(step, `mover-${round}-${index}`);
  const [closing, dying] = shuffled(vms.guests, random);
  await taker.guest(closing!, 'leave');
  await taker.guest(dying!, 'crash');
  return taker.result;
}

class Taker {
  readonly result: { readonly changes: VmChange[]; readonly wrong: string[] } = { changes: [], wrong: [] };
  readonly #vms: Vms;
  readonly #round: number;
  readonly #slots: Slots;
  readonly #random: () => number;

  constructor(vms: Vms, round: number, slots: Slots, random: () => number) {
    this.#vms = vms;
    this.#round = round;
    this.#slots = slots;
    this.#random = random;
  }

  /** A host process joins and goes. */
  async host({ paced, unit }: Step, name: string): Promise<void> {
    const program = unit === 'crash' ? await this.#vms.spare('victim') : this.#vms.mover;
    const cold = unit === 'crash';
    await this.#look('join', name, paced, async () => (await program.ask<Done>('join', name)).at, cold);
    await this.#look(unit, name, paced, async () => {
      if (unit === 'leave') return (await program.ask<Done>('leave', name)).at;
      const at = now();
      program.strike();
      return at;
    });
  }

  /** A member in a VM goes; it comes back before this resolves. */
  async guest(guest: Guest, kind: 'leave' | 'crash'): Promise<void> {
    const { slot } = this.#slots.find(({ name }) => name === guest.name)!;
    await this.#look(kind, guest.name, true, async () => {
      guest.send(kind);
      return slot;
    });
    if (kind === 'crash') {
      await guest.ended();
      await guest.start();
    } else {
      guest.send('join');
      await guest.done();
    }
  }

  /** `make` resolves with the time of the cause, or with the slot of the VM that marks it. */
  async #look(
    kind: Kind,
    name: string,
    paced: boolean,
    make: () => Promise<number>,
    cold = false,
  ): Promise<void> {
    const guest = this.#slots.find((one) => one.name === name);
    const slots = this.#slots.filter((one) => one !== guest).map(({ slot }) => slot);
    await delay(paced ? CATCH_UP_MS + this.#random() * 1000 : BEGIN_MS);
    const type = kind === 'join' ? 'join' : 'leave';
    const words = paced ? [ackWords.event, ...ackWords.polls] : [ackWords.event];
    const looking = this.#vms.acks.ask<Watch>('look', {
      type,
      name,
      slots,
      words,
      limitMs: LIMIT_MS,
    } satisfies Look);
    await delay(BEGIN_MS);
    const made = await make();
    const watch = await looking;
    const at = guest === undefined ? made : markSeen(watch.acks, made);
    const change = at === null ? 'it did not say when' : evaluate(watch, kind, name, at, slots, paced);
    const where = { round: this.#round, kind, cold, from: guest === undefined ? 'host' : 'vm' } as const;
    if (typeof change === 'string')
      this.result.wrong.push(`round ${this.#round}: ${kind} of ${name}: ${change}`);
    else this.result.changes.push({ ...where, ...change });
  }
}

const reasons: Readonly<Record<Kind, string | undefined>> = {
  join: undefined,
  leave: 'closed',
  crash: 'crashed',
};

/** When everybody saw it, or what is wrong. */
export function evaluate(
  { acks, told }: Watch,
  kind: Kind,
  name: string,
  at: number,
  slots: readonly number[],
  paced: boolean,
): Pick<VmChange, 'view' | 'ms' | 'polled'> | string {
  const event = told.find((one) => one.name === name && one.type === (kind === 'join' ? 'join' : 'leave'));
  if (event === undefined) return 'no event';
  if (event.reason !== reasons[kind]) return `for the reason ${event.reason}`;
  const since = (word: number) =>
    firstSeen(acks, slots, word, event.view).map((seen) => (seen === null ? null : (seen - at) / 1e6));
  const ms = since(ackWords.event);
  const polled = paced
    ? baselines.map(({ name: baseline }, i) => [baseline, since(ackWords.polls[i]!)] as const)
    : [];
  const missed = [['event', ms] as const, ...polled].filter(([, list]) => list.includes(null));
  if (missed.length > 0) return `not seen in all VMs by ${missed.map(([who]) => who).join(', ')}`;
  return {
    view: event.view,
    ms: ms as number[],
    polled: Object.fromEntries(polled) as Record<string, number[]>,
  };
}
