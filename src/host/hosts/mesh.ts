import { lookup } from 'node:dns/promises';
import type { EngineEvent, NodeEngine } from '../../native/hosts-binding.ts';
import { splitAddress } from '../config/hosts-schema.ts';
import type { Log } from '../log.ts';
import { type Directory, MAX_NODES } from './directory.ts';

/** Between two attempts to reach a host. */
const RETRY_MS = 500;

/** Connections of one host to all others: of two hosts the one with the lower number connects. */
export class Mesh {
  readonly #engine: NodeEngine;
  readonly #directory: Directory;
  readonly #log: Log;
  readonly #up = new Set<number>();
  readonly #trying = new Set<number>();
  readonly #expected = new Map<number, string>();
  readonly #timer: NodeJS.Timeout;
  #closed = false;

  constructor(engine: NodeEngine, directory: Directory, log: Log) {
    this.#engine = engine;
    this.#directory = directory;
    this.#log = log;
    this.#timer = setInterval(() => this.look(), RETRY_MS).unref();
    this.look();
  }

  isUp(node: number): boolean {
    return node === this.#directory.node || this.#up.has(node);
  }

  /** The engine's word on connections. */
  event(event: EngineEvent & { readonly kind: 'up' | 'down' }): void {
    const host = this.#directory.nameOf(event.node);
    this.#trying.delete(event.node);
    if (event.kind === 'up') {
      this.#up.add(event.node);
      this.#log.info({ host }, 'another host is connected');
    } else if (this.#up.delete(event.node)) this.#log.warn({ host, why: event.why }, 'lost another host');
    else this.#log.debug({ host, why: event.why }, 'another host cannot be reached');
  }

  /** Expects whoever is known by now, and connects to those who are not connected. */
  look(): void {
    if (this.#closed) return;
    const { node: self } = this.#directory;
    for (let node = 0; node < MAX_NODES; node++) {
      const name = node === self ? null : this.#directory.nameOf(node);
      if (name === null) continue;
      if (this.#expected.get(node) !== name) this.#engine.expect(node, name);
      this.#expected.set(node, name);
      if (node > self && !this.#up.has(node) && !this.#trying.has(node)) void this.#connect(node, name);
    }
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  async #connect(node: number, name: string): Promise<void> {
    const text = this.#directory.addressOf(node);
    if (text === null) return;
    this.#trying.add(node);
    const { address, port } = splitAddress(text);
    try {
      const found = await lookup(address);
      if (!this.#closed && this.#expected.get(node) === name) this.#engine.connect(node, found.address, port);
    } catch (error) {
      this.#trying.delete(node);
      this.#log.debug({ host: name, err: error }, 'another host cannot be reached');
    }
  }
}
