import { closeSync, readFileSync } from 'node:fs';
import { binding } from '../../src/native/binding.ts';
import {
  type Consistency,
  type EngineEvent,
  hostsBinding,
  type NodeEngine,
} from '../../src/native/hosts-binding.ts';
import { SpreadMember } from './spread-member.ts';

const SLOTS = 4;
/** Where the allocation begins in the region: not at its start, as in a real one. */
const AT = 64 * 4096;

export interface NodeWords {
  readonly node: number;
  /** Paths of PEM files. */
  readonly identity: { readonly certificate: string; readonly key: string; readonly authority: string };
  readonly pages: number;
  readonly homes: number;
  readonly cache: number;
  readonly pageShift?: number;
  readonly patienceMs?: number;
  readonly consistency?: Consistency;
  readonly replicas?: number;
  readonly cluster?: string;
}

/** One host in small: a region, the engine of its server, and members without mappings. */
export class SpreadNode {
  readonly engine: NodeEngine;
  readonly events: EngineEvent[] = [];
  readonly members: SpreadMember[] = [];
  readonly words: NodeWords;
  readonly bell = binding.eventfdCreate();
  readonly #region;
  readonly #bytes: number;
  readonly #space: {
    pageShift: number;
    pages: bigint;
    homes: number;
    consistency: Consistency;
    replicas: number;
  };
  onEvent: (event: EngineEvent) => void = () => undefined;

  constructor(words: NodeWords) {
    this.words = words;
    this.#space = {
      pageShift: words.pageShift ?? 12,
      pages: BigInt(words.pages),
      homes: words.homes,
      consistency: words.consistency ?? 'sequential',
      replicas: words.replicas ?? 1,
    };
    this.#bytes = hostsBinding().leastBytes(this.#space, words.node, SLOTS, words.cache);
    const bytes = AT + this.#bytes + 4096;
    const fd = binding.createMemfd('spread', bytes, false, false);
    this.#region = binding.mapFile(fd, 0, bytes, true);
    const text = (path: string): string => readFileSync(path, 'utf8');
    const { certificate, key, authority } = words.identity;
    this.engine = new (hostsBinding().NodeEngine)({
      memory: { fd, bytes },
      bell: this.bell,
      slots: SLOTS,
      node: words.node,
      cluster: words.cluster ?? 'test',
      identity: { certificate: text(certificate), key: text(key), authority: text(authority) },
      patienceMs: words.patienceMs ?? 20_000,
      onEvent: (event) => {
        this.events.push(event);
        this.onEvent(event);
      },
    });
    closeSync(fd);
  }

  addSpace(epoch = 1, alive = 2 ** this.words.homes - 1, forms = true): void {
    const space = { id: 7, at: AT, bytes: this.#bytes, ...this.#space };
    this.engine.addSpace({ ...space, forms, epoch: BigInt(epoch), alive: BigInt(alive) });
  }

  /** A member of the next slot that has opened the space. */
  async join(slot = this.members.length + 1): Promise<SpreadMember> {
    const memory = { buffer: this.#region.buffer, at: AT, bytes: this.#bytes };
    const member = new SpreadMember(memory, slot, this.bell);
    this.members.push(member);
    this.engine.member(slot, member.eventfd);
    await member.open();
    return member;
  }

  /** The engine first: a member's memory is the region's. */
  close(): void {
    this.engine.close();
    for (const member of this.members) {
      member.close();
      closeSync(member.eventfd);
    }
    closeSync(this.bell);
    this.#region.close();
  }
}
