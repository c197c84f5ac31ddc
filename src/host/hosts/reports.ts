import { z } from 'zod';
import type { NodeEngine } from '../../native/hosts-binding.ts';
import type { HostsReport, SpreadPart, SpreadReport } from '../../observe/sample.ts';
import { homesOf } from './decisions.ts';
import type { Directory, SharedSpace } from './directory.ts';

/** The first character of a text: a directory's own texts begin with others. */
const [ASK, ANSWER] = ['?', '!'] as const;
/** Others are busy, or too old to know the question; operators wait no longer. */
const PATIENCE_MS = 500;
/** Who asks more often gets the same answer: it is a walk over all pages that are here. */
const FRESH_MS = 200;
const MOST_LOST = 1 << 20;

const count = z.int().min(0);
const partSchema = z.strictObject({
  id: count,
  kept: count,
  missing: count,
  writable: count,
  readable: count,
  frames: count,
  framesFree: count,
  members: count,
  faultsLocal: count,
  faultsRemote: count,
  failed: count,
  lost: count,
  evictions: count,
  pagesIn: count,
  pagesOut: count,
  fenced: z.boolean(),
});
const answerSchema = z.strictObject({ number: count, parts: z.array(partSchema).max(256) });
type Part = z.output<typeof partSchema>;

export interface ReportParts {
  readonly engine: Pick<NodeEngine, 'status' | 'peer' | 'tell'>;
  readonly directory: Directory;
  /** The spaces served here: which they are for all hosts, and in the region's table. */
  readonly served: () => readonly { readonly id: number; readonly number: number }[];
  readonly region: string;
}

/** What operators get to see of the spread spaces: of this host from its engine, of the others from what they answer. */
export class Reports {
  readonly #parts: ReportParts;
  /** Pages that members here asked for, and which are gone. */
  readonly #lost = new Map<number, Set<number>>();
  readonly #answers = new Map<number, readonly Part[]>();
  #asked = 0;
  #heard: () => void = () => {};
  #underWay: Promise<void> | null = null;
  #own: { readonly at: number; readonly parts: readonly Part[] } | null = null;

  constructor(parts: ReportParts) {
    this.#parts = parts;
  }

  /** A member asked for a page that is gone. */
  lost(space: number, page: number): void {
    const pages = this.#lost.get(space) ?? new Set<number>();
    this.#lost.set(space, pages);
    if (pages.size < MOST_LOST) pages.add(page);
  }

  /** A text of another host; false: it is for the directory. */
  told(from: number, text: string): boolean {
    if (text[0] === ASK) {
      const number = Number(text.slice(1));
      if (Number.isSafeInteger(number) && number >= 0)
        this.#parts.engine.tell(from, `${ANSWER}${JSON.stringify({ number, parts: this.#here() })}`);
      return true;
    }
    if (text[0] !== ANSWER) return false;
    const answer = answerSchema.safeParse(parsed(text.slice(1)));
    // One that comes late, or makes no sense, is none.
    if (answer.success && answer.data.number === this.#asked) {
      this.#answers.set(from, answer.data.parts);
      this.#heard();
    }
    return true;
  }

  hosts(): HostsReport {
    const { directory, engine } = this.#parts;
    const { decided, node, state, trouble } = directory;
    const awaySince = directory.away?.toISOString() ?? null;
    const hosts = decided.view.seats.map((seat) => {
      const name = directory.nameOf(seat.node) ?? String(seat.node);
      if (seat.node === node) return { name, up: true, bytesIn: 0, bytesOut: 0, waiting: 0 };
      const { up = false, bytesIn = 0, bytesOut = 0, waiting = 0 } = engine.peer(seat.node) ?? {};
      return { name, up, bytesIn, bytesOut, waiting };
    });
    const host = directory.nameOf(node) ?? String(node);
    return { host, state, trouble, awaySince, epoch: decided.view.epoch, hosts };
  }

  /** By name. `all`: also what other hosts say, which takes a moment. */
  async spaces(all: boolean): Promise<Map<string, SpreadReport>> {
    const { directory, served, engine } = this.#parts;
    if (all) {
      this.#underWay ??= this.#askOthers().finally(() => {
        this.#underWay = null;
      });
      await this.#underWay;
    }
    const own = this.#here();
    const numbers = new Map(served().map(({ id, number }) => [id, number]));
    const reports = new Map<string, SpreadReport>();
    for (const space of directory.decided.spaces) {
      const number = numbers.get(space.id);
      if (number === undefined || space.region !== this.#parts.region) continue;
      const of = (node: number, parts: readonly Part[]): SpreadPart | null => {
        const part = parts.find(({ id }) => id === space.id);
        return part === undefined ? null : this.#partOf(space, node, part);
      };
      const others = all ? [...this.#answers].sort(([a], [b]) => a - b) : [];
      const parts = [of(directory.node, own), ...others.map(([node, parts]) => of(node, parts))];
      reports.set(space.name, {
        number,
        consistency: space.consistency,
        replicas: space.replicas,
        copies: engine.status(space.id).copies,
        pageBytes: 2 ** space.pageShift,
        pages: pagesOf(space),
        hosts: parts.filter((part) => part !== null),
        heat: [...engine.status(space.id).heat],
      });
    }
    return reports;
  }

  #partOf(space: SharedSpace, node: number, { id: _, ...part }: Part): SpreadPart {
    const homes = homesOf(space.formed);
    const home = node < homes ? Math.ceil((pagesOf(space) - node) / homes) : 0;
    return { host: this.#parts.directory.nameOf(node) ?? String(node), home, ...part };
  }

  async #askOthers(): Promise<void> {
    const { directory, engine } = this.#parts;
    this.#asked++;
    this.#answers.clear();
    const asked = directory.decided.view.seats.filter(
      ({ node }) => node !== directory.node && engine.tell(node, `${ASK}${this.#asked}`),
    );
    if (asked.length === 0) return;
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, PATIENCE_MS);
      this.#heard = () => {
        if (!asked.every(({ node }) => this.#answers.has(node))) return;
        clearTimeout(late);
        resolve();
      };
    });
    this.#heard = () => {};
  }

  #here(): readonly Part[] {
    if (this.#own !== null && performance.now() - this.#own.at < FRESH_MS) return this.#own.parts;
    const ids = this.#parts.served().map(({ id }) => id);
    for (const id of this.#lost.keys()) if (!ids.includes(id)) this.#lost.delete(id);
    const parts = ids.map((id) => {
      const status = this.#parts.engine.status(id);
      const { faultsLocal, faultsRemote, failed, evictions, pagesIn, pagesOut, fenced } = status;
      return {
        ...{ id, faultsLocal, faultsRemote, failed, evictions, pagesIn, pagesOut, fenced },
        kept: status.kept,
        missing: status.missing,
        writable: status.owned,
        readable: status.shared,
        frames: status.cacheFrames,
        framesFree: status.cacheFramesFree,
        members: status.members.length,
        lost: this.#lost.get(id)?.size ?? 0,
      };
    });
    this.#own = { at: performance.now(), parts };
    return parts;
  }
}

function pagesOf({ bytes, pageShift }: SharedSpace): number {
  return Math.ceil(bytes / 2 ** pageShift);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // What is no JSON fits no schema.
    return null;
  }
}
