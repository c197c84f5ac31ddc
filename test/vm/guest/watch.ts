import { setTimeout as delay } from 'node:timers/promises';
import type { Member, Membership, MembershipEvent, Region } from '../../../src/index.ts';
import { say } from './services.ts';

/** What a test compares of a member. */
const brief = ({ slot, epoch, name, state, backend, listeners, labels }: Member): object => ({
  ...{ slot, epoch, name, state, backend },
  listeners: listeners.length,
  labels,
});

function tell(event: MembershipEvent): void {
  const { type, view, member } = event;
  const reason = event.type === 'leave' ? { reason: event.reason } : {};
  say({ event: type, ...reason, view, ...brief(member) });
}

/** What a member does with the membership of its region, by the verbs of talk.ts. */
export class Watch {
  readonly #region: Region;
  #members: Membership | null = null;
  #suspecting: Membership | null = null;

  constructor(region: Region) {
    this.#region = region;
  }

  /** Tells every event from now on, one line each, and returns who is there. */
  async watch(): Promise<object> {
    const members = await this.#region.membership();
    this.#members = members;
    void (async () => {
      for await (const event of members) tell(event);
    })();
    return this.members();
  }

  /** The members as of the newest view. */
  members(): object {
    return { view: this.#members!.view, members: this.#members!.list().map(brief) };
  }

  /** Has members suspected that say nothing for so long; 0: no longer. */
  async suspect(milliseconds: number): Promise<object> {
    this.#suspecting?.close();
    this.#suspecting =
      milliseconds === 0 ? null : await this.#region.membership({ suspectAfterMs: milliseconds });
    return {};
  }

  async describe(label: string, value: string): Promise<object> {
    const members = this.#members ?? (await this.#region.membership());
    await members.describe({ labels: { [label]: value } });
    if (this.#members === null) members.close();
    return {};
  }
}

/**
 * Sends `count` numbered messages to a peer's echo without waiting for any answer, calls `onSent`, then takes the answers.
 * Resolves with how many came, and how many of them not in their turn.
 */
export async function burst(
  region: Region,
  peer: string,
  count: number,
  onSent: () => void,
): Promise<object> {
  const channel = await region.connect('echo', { peer });
  for (let i = 0; i < count; i++) while (!channel.send(message(i))) await delay(1);
  onSent();
  let [answered, wrong] = [0, 0];
  for (; answered < count; answered++) {
    const answer = await channel.next();
    if (answer === null) break;
    if (!Buffer.from(answer.copy()).equals(message(answered))) wrong++;
    channel.release(answer);
  }
  channel.close();
  return { answered, wrong };
}

const message = (i: number): Buffer => Buffer.from(`message ${i}`);
