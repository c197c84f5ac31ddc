import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Authority, type Issued } from '../host/hosts/support/certificates.ts';
import { meet, SpreadHost } from './spread-hosts.ts';
import type { NodeWords } from './spread-node.ts';

export const PAGES = 64;
/** Failures as orders tell them. */
export const LOST = 1;
export const FENCED = 2;
export const PAGE_RANGE = 3;

/** Of a host's engine, as `status` of the program gives it. */
export interface Status {
  readonly epoch: number;
  readonly owned: number;
  readonly shared: number;
  readonly cacheFrames: number;
  readonly cacheFramesFree: number;
  readonly evictions: number;
  readonly pagesIn: number;
  readonly pagesOut: number;
  readonly faultsLocal: number;
  readonly faultsRemote: number;
  readonly failed: number;
  readonly quiet: boolean;
  readonly fenced: boolean;
  readonly consistency: string;
  readonly replicas: number;
  readonly copies: number;
  readonly missing: number;
  readonly kept: number;
  readonly dirty: number;
  readonly flushes: number;
  readonly refreshes: number;
  readonly mergesIn: number;
  readonly mergesOut: number;
  readonly members: number[];
  readonly heat: number[];
}

interface Teardown {
  teardown(action: () => unknown): void;
}

export interface SceneOptions extends Partial<NodeWords> {
  readonly route?: (port: number) => number | Promise<number>;
}

export class SpreadScene {
  readonly authority: Authority;
  readonly folder: string;
  readonly hosts: SpreadHost[] = [];
  ports: number[] = [];
  readonly #t: Teardown;

  constructor(t: Teardown) {
    this.#t = t;
    this.folder = mkdtempSync(join(tmpdir(), 'ivshmem-hosts-'));
    t.teardown(() => rmSync(this.folder, { recursive: true, force: true }));
    this.authority = new Authority(this.folder);
  }

  /** Another host, which nobody knows yet. */
  host(words: Pick<NodeWords, 'node' | 'homes'> & Partial<NodeWords>, identity?: Issued): SpreadHost {
    const issued = identity ?? this.authority.issue(`node${words.node}`);
    // Frames for all there are, and some to spare: nothing is evicted unless a test wants it.
    const host = new SpreadHost({ pages: PAGES, cache: 96, identity: issued, ...words });
    this.#t.teardown(() => host.end());
    return host;
  }

  /** Hosts that form a space and are connected, each with one member. */
  async form(count: number, { route, ...words }: SceneOptions = {}): Promise<SpreadHost[]> {
    for (let node = 0; node < count; node++) this.hosts.push(this.host({ node, homes: count, ...words }));
    this.ports = await meet(this.hosts, route);
    for (const host of this.hosts) await host.do('addSpace');
    for (const host of this.hosts) await host.do('join');
    return this.hosts;
  }
}
