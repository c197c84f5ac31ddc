import type { Test } from 'tap';
import type { RegionStatus } from '../../../src/host/index.ts';
import { until } from '../../support/protocol/until.ts';
import type { Line, Talker } from './talker.ts';

/** What all observers must agree on. `update` and the like have no reason. */
interface Seen {
  readonly event: string;
  readonly reason: string | undefined;
  readonly view: number;
  readonly name: string;
  readonly slot: number;
  readonly epoch: number;
}

const seen = ({ event, reason, view, name, slot, epoch }: Line): Seen =>
  ({ event, reason, view, name, slot, epoch }) as unknown as Seen;

/** What of a region is taken, by everybody. */
interface Used {
  readonly channels: number;
  readonly freeHeapBytes: number;
}

/** What must come is late where processors are emulated and others use them, too. */
const PATIENCE_S = 180;

const events = (talker: Talker): Seen[] => talker.said.filter(({ event }) => event).map(seen);

/** Members that stay and watch what happens to the others; the first holds a channel to the second all the time. */
export class Observers {
  readonly all: readonly Talker[];
  readonly #status: () => RegionStatus | Promise<RegionStatus>;
  #quiet: Used = { channels: 0, freeHeapBytes: 0 };

  private constructor(status: () => RegionStatus | Promise<RegionStatus>, all: readonly Talker[]) {
    this.#status = status;
    this.all = all;
  }

  /** `status`: of the region, as its server knows it. */
  static async start(
    status: () => RegionStatus | Promise<RegionStatus>,
    ...all: Talker[]
  ): Promise<Observers> {
    const observers = new Observers(status, all);
    for (const one of all) await one.order('watch');
    await all[0]!.order('hold', all[1]!.name);
    await observers.settle();
    return observers;
  }

  /**
   * What is used now is all that is used while nobody but those who stay is here. Returns what was before; given that again, waits
   * until it is so.
   */
  async settle(again?: Used): Promise<Used> {
    const before = this.#quiet;
    this.#quiet = again ?? (await this.#used());
    await this.#until('all is quiet', () => true);
    return before;
  }

  /** All observers see this event of a member, with the same number. Resolves with it. */
  async see(t: Test, event: string, name: string, reason?: string): Promise<Seen> {
    const pattern = new RegExp(`"event":"${event}",.*"name":"${name}"`);
    const lines = await Promise.all(this.all.map((one) => one.line(pattern)));
    const [first, ...rest] = lines.map(seen) as [Seen, ...Seen[]];
    t.equal(first.reason, reason, `${event} ${name}${reason === undefined ? '' : `: ${reason}`}`);
    for (const other of rest) t.strictSame(other, first, `view ${first.view} to everyone`);
    return first;
  }

  /** A member opens channels to all observers, and they to it. */
  async entangle(member: Talker): Promise<void> {
    for (const one of this.all)
      for (const [from, to] of [
        [member, one],
        [one, member],
      ] as const) {
        const { failed } = await from.order('hold', to.name);
        if (failed !== undefined) throw new Error(`${from.name} cannot hold ${to.name}: ${failed}`);
      }
  }

  /** The observers' channels to a member ended like this, and all it held is back: slots, channels, memory, its name. */
  async recover(t: Test, name: string, end: string): Promise<void> {
    for (const one of this.all)
      t.match(await one.line(new RegExp(`"held":"${name}"`)), { end }, `${one.name}: its channel ended`);
    await this.#until(`nothing of ${name} is left`, ({ members }) =>
      members.every((member) => member.name !== name),
    );
    const [first, second] = this.all as [Talker, Talker];
    t.match(await first.order('ask', name, 1), { code: 'ERR_IVSHMEM_REFUSED' }, 'nobody has its name');
    t.ok(await first.goesOn(second.name), 'the others go on');
  }

  /** From the last observer's first event on, all saw the same views in the same order. */
  agree(t: Test): void {
    const [first, ...rest] = this.all.map(events) as [Seen[], ...Seen[][]];
    t.ok(
      first.every(({ view }, i) => i === 0 || view > first[i - 1]!.view),
      'views grow',
    );
    for (const other of rest) t.strictSame(other, first.slice(-other.length), 'all saw the same');
    t.comment(
      first.map(({ view, event, name, reason }) => `${view} ${event} ${name} ${reason ?? ''}`).join('; '),
    );
  }

  async #used(): Promise<Used> {
    const { channels, freeHeapBytes } = await this.#status();
    return { channels, freeHeapBytes };
  }

  /** Waits until as much is used as when all is quiet, and `also` holds. */
  async #until(what: string, also: (status: RegionStatus) => boolean): Promise<void> {
    const passes = async (): Promise<boolean> => {
      const status = await this.#status();
      const { channels, freeHeapBytes } = this.#quiet;
      return also(status) && status.channels === channels && status.freeHeapBytes === freeHeapBytes;
    };
    await until(what, passes, PATIENCE_S).catch(async (error: Error) => {
      const now = { ...(await this.#status()), quiet: this.#quiet };
      throw new Error(`${error.message}; ${JSON.stringify(now)}`);
    });
  }
}
