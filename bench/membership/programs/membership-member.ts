import { type Membership, type MembershipEvent, open, type Region } from '../../../src/index.ts';
import { now } from '../clock.ts';
import { observerName } from '../polling.ts';
import type { Sighting } from '../sightings.ts';
import { serve } from './serve.ts';
import { TablePoller } from './table-poller.ts';

// A process with any number of members, which does what it is asked. Argument: the server's socket.
const [socket] = process.argv.slice(2);
const members = new Map<string, Region>();
const watched = new Set<Membership>();
const pollers = new Set<TablePoller>();
let sightings: Sighting[] = [];

/** Two stamps, nanoseconds: just before the call, and when it was done. */
export interface Done {
  readonly at: number;
  readonly done: number;
}

export interface Polling {
  readonly everyMs: number;
  /** Pollers of each member. The first read of each lies a random part of the period away, those of one member evenly apart. */
  readonly phases: number;
}

function see(observer: string, event: MembershipEvent, at: number): void {
  const { type, view, member } = event;
  const reason = event.type === 'leave' ? { reason: event.reason } : {};
  sightings.push({ observer, type, name: member.name, view, at, ...reason });
}

async function watch(name: string, region: Region): Promise<void> {
  const membership = await region.membership();
  watched.add(membership);
  const told = (event: MembershipEvent) => see(name, event, now());
  membership.on('join', told).on('leave', told);
}

function poll(name: string, region: Region, { everyMs, phases }: Polling): void {
  const first = Math.random();
  for (let phase = 0; phase < phases; phase++) {
    const delay = everyMs * ((first + phase / phases) % 1);
    const told = (event: MembershipEvent) => see(observerName(name, everyMs, phase), event, now());
    pollers.add(new TablePoller(region, everyMs, delay, told));
  }
}

serve({
  ready: () => {},
  join: async (name: string): Promise<Done> => {
    const at = now();
    members.set(name, await open({ socket, name }));
    return { at, done: now() };
  },
  leave: async (name: string): Promise<Done> => {
    const region = members.get(name)!;
    members.delete(name);
    const at = now();
    await region.close();
    return { at, done: now() };
  },
  watch: async () => {
    for (const [name, region] of members) await watch(name, region);
  },
  poll: (polling: Polling) => {
    for (const [name, region] of members) poll(name, region, polling);
  },
  /** Neither watches nor polls. */
  rest: () => {
    for (const membership of watched) membership.close();
    for (const poller of pollers) poller.stop();
    watched.clear();
    pollers.clear();
  },
  /** What was seen since the last time. */
  sightings: () => {
    const taken = sightings;
    sightings = [];
    return taken;
  },
});
