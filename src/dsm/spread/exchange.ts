import type { Exchange } from '../sync/exchange.ts';
import type { SpreadMapping } from './mapping.ts';

/** The exchange of a space with release consistency: its pages' homes get what was stored, and are asked anew. */
export class PageExchange implements Exchange {
  readonly needed = true;
  readonly #mapping: SpreadMapping;
  readonly #flush: string;
  readonly #refresh: string;

  constructor(mapping: SpreadMapping, space: string) {
    this.#mapping = mapping;
    this.#flush = `flush the space ${space}`;
    this.#refresh = `refresh the space ${space}`;
  }

  release(): Promise<void> {
    return this.#mapping.flush(this.#flush);
  }

  acquire(): Promise<void> {
    return this.#mapping.refresh(this.#refresh);
  }

  releaseNow(): void {
    this.#mapping.flushNow(this.#flush);
  }

  acquireNow(): void {
    this.#mapping.refreshNow(this.#refresh);
  }
}
