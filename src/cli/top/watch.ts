import type { RegionSample } from '../../observe/sample.ts';
import type { Source } from '../region/source.ts';
import { layout } from './layout.ts';
import { modelOf, SORTS, type Sort } from './model.ts';
import { type Action, openScreen, type Screen } from './screen.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The live view, until its user quits or a signal ends it. Whatever the source throws is thrown when the terminal is back. */
export async function watch(source: Source, intervalMs: number): Promise<void> {
  const view = new LiveView(source, intervalMs);
  const quit = (): void => view.quit();
  for (const signal of SIGNALS) process.on(signal, quit);
  try {
    await view.run();
  } finally {
    for (const signal of SIGNALS) process.off(signal, quit);
    view.close();
  }
}

class LiveView {
  readonly #source: Source;
  readonly #intervalMs: number;
  readonly #screen: Screen;
  /** Oldest first; as many as rates need. */
  #samples: RegionSample[] = [];
  #sort: Sort = SORTS[0];
  #scroll = 0;
  #quit = false;
  #wake: () => void = () => {};
  /** Something happened that the next sample shall show at once. */
  #due = false;

  constructor(source: Source, intervalMs: number) {
    this.#source = source;
    this.#intervalMs = intervalMs;
    this.#screen = openScreen(
      (action) => this.#act(action),
      () => this.#draw(),
    );
  }

  async run(): Promise<void> {
    const following = this.#follow();
    try {
      while (!this.#quit) {
        this.#due = false;
        this.#take(await this.#source.sample());
        this.#draw();
        await this.#pause();
      }
    } catch (error) {
      // What was under way when the user quit is nobody's concern any more.
      if (!this.#quit) throw error;
    }
    this.#source.close();
    await following;
  }

  quit(): void {
    this.#quit = true;
    // Whatever it waits for may never come.
    this.#source.close();
    this.#wake();
  }

  close(): void {
    this.#screen.close();
  }

  /** A change of who is here is shown when it happens. */
  async #follow(): Promise<void> {
    try {
      for await (const _ of this.#source.updates()) {
        this.#due = true;
        this.#wake();
      }
    } catch {
      // The samples come from the same place: their error is the one that is told.
    }
  }

  #pause(): Promise<void> {
    if (this.#quit || this.#due) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#intervalMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #take(sample: RegionSample): void {
    const recent = this.#samples.filter(({ at }) => sample.at - at <= 3 * this.#intervalMs);
    this.#samples = [...recent, sample].slice(-100);
  }

  /** What rates are counted from: long enough ago that few messages more or less do not show. */
  #base(now: RegionSample): RegionSample | null {
    const earlier = this.#samples.slice(0, -1);
    return earlier.findLast(({ at }) => now.at - at >= this.#intervalMs / 2) ?? earlier[0] ?? null;
  }

  #draw(): void {
    const now = this.#samples.at(-1);
    if (now === undefined || this.#quit) return;
    const { columns, rows } = this.#screen.size();
    const { lines, scrollMost } = layout(modelOf(now, this.#base(now), this.#sort), {
      columns,
      // A frame as high as the terminal would scroll it.
      rows: rows - 1,
      scroll: this.#scroll,
      sort: this.#sort,
      note: this.#source.note,
    });
    this.#scroll = Math.min(this.#scroll, scrollMost);
    this.#screen.show(lines);
  }

  #act(action: Action): void {
    const page = Math.max(this.#screen.size().rows - 10, 1);
    const steps = { up: -1, down: 1, pageUp: -page, pageDown: page } as const;
    if (action === 'quit') this.quit();
    else if (action === 'sort') this.#sort = SORTS[(SORTS.indexOf(this.#sort) + 1) % SORTS.length]!;
    else this.#scroll = Math.max(this.#scroll + steps[action], 0);
    this.#draw();
  }
}
