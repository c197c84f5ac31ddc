import { closeSync } from 'node:fs';

/**
 * Descriptors of a region that outlive a server, by name: `<region>.state`, `.memory`, `.directory`, `.listen`, `.control`,
 * `.bell.<slot>.<vector>`, `.client.<slot>`. The region's own name is percent-encoded, dots as well.
 */
const KEPT = /^([^.]+)\.((?:state|memory|directory|listen|control)|bell\.\d+\.\d+|client\.\d+)$/;

export const bellPart = (slot: number, vector: number): string => `bell.${slot}.${vector}`;
export const clientPart = (slot: number): string => `client.${slot}`;

export function keptName(region: string, part: string): string {
  return `${encodeURIComponent(region).replaceAll('.', '%2E')}.${part}`;
}

export function isKeptName(name: string): boolean {
  return KEPT.test(name);
}

/** What is kept of one region, by part. Whoever takes a descriptor out owns it; close() closes the others. */
export class KeptRegion {
  readonly #parts: Map<string, number>;

  constructor(parts: ReadonlyMap<string, number>) {
    this.#parts = new Map(parts);
  }

  get parts(): IterableIterator<string> {
    return this.#parts.keys();
  }

  /** The descriptor stays owned by this. */
  peek(part: string): number | undefined {
    return this.#parts.get(part);
  }

  take(part: string): number | undefined {
    const fd = this.#parts.get(part);
    this.#parts.delete(part);
    return fd;
  }

  /** Sockets of clients by slot, taken out. */
  takeClients(): Map<number, number> {
    const clients = new Map<number, number>();
    for (const part of [...this.#parts.keys()]) {
      if (part.startsWith('client.')) clients.set(Number(part.slice('client.'.length)), this.take(part)!);
    }
    return clients;
  }

  close(): void {
    for (const fd of this.#parts.values()) closeSync(fd);
    this.#parts.clear();
  }
}

/** Sorts kept descriptors by region. Names that are none of ours are ignored. */
export function keptRegions(kept: ReadonlyMap<string, number>): Map<string, KeptRegion> {
  const regions = new Map<string, Map<string, number>>();
  for (const [name, fd] of kept) {
    const match = KEPT.exec(name);
    if (match === null) continue;
    const region = decodeURIComponent(match[1]!);
    const parts = regions.get(region) ?? new Map<string, number>();
    regions.set(region, parts.set(match[2]!, fd));
  }
  return new Map([...regions].map(([region, parts]) => [region, new KeptRegion(parts)]));
}
