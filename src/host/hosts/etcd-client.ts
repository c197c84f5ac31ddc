import { request as plain } from 'node:http';
import { request as secure } from 'node:https';
import { z } from 'zod';
import { IvshmemError, isIvshmemError } from '../../errors/index.ts';
import type { HostIdentity } from './identity.ts';

/** An answer of etcd is short; a directory is some hundred kilobytes at most. */
const MAX_ANSWER_BYTES = 16 << 20;

const int64 = z.union([z.string(), z.number()]).transform(Number).pipe(z.int());
const base64 = z.string().transform((text) => Buffer.from(text, 'base64').toString());
const keyValue = z.object({
  key: base64,
  value: base64.default(''),
  mod_revision: int64.default(0),
  lease: z.string().default('0'),
});
const rangeAnswer = z.object({ header: z.object({ revision: int64 }), kvs: z.array(keyValue).default([]) });
const txnAnswer = z.object({ succeeded: z.boolean().default(false) });
const grantAnswer = z.object({ ID: z.string(), TTL: int64 });
const keepAliveAnswer = z.object({
  result: z.object({
    header: z.object({ revision: int64.default(0) }).optional(),
    TTL: int64.default(0),
  }),
});
const watchAnswer = z.object({
  result: z.object({
    created: z.boolean().default(false),
    canceled: z.boolean().default(false),
    events: z.array(z.unknown()).default([]),
  }),
});

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  /** Revision of the last change. */
  readonly revision: number;
  /** '0': none. */
  readonly lease: string;
}

export interface Comparison {
  readonly key: string;
  /** Of its last change; 0: the key is not there. */
  readonly revision: number;
}

export interface Put {
  readonly key: string;
  readonly value: string;
  readonly lease?: string;
}

const encode = (text: string): string => Buffer.from(text).toString('base64');

/** The first key behind all those with this prefix, as etcd wants it. */
function behind(prefix: string): string {
  const end = Buffer.from(prefix);
  end[end.length - 1]! += 1;
  return end.toString('base64');
}

/**
 * As much of etcd v3 as a directory needs, by its JSON gateway. Endpoints are tried in turn, one that failed last. Everything
 * rejects with ERR_IVSHMEM_HOSTS_ETCD when none answers.
 */
export class EtcdClient {
  readonly #identity: HostIdentity | null;
  readonly #timeoutMs: number;
  #endpoints: readonly string[];

  /** `endpoints`: URLs. `identity`: for https; etcd sees the same certificate as other hosts. */
  constructor(endpoints: readonly string[], identity: HostIdentity | null, timeoutMs: number) {
    this.#endpoints = endpoints;
    this.#identity = identity;
    this.#timeoutMs = timeoutMs;
  }

  /** All keys with a prefix, at one revision. */
  async range(prefix: string): Promise<{ readonly kvs: readonly KeyValue[]; readonly revision: number }> {
    const { header, kvs } = rangeAnswer.parse(
      await this.#ask('/v3/kv/range', { key: encode(prefix), range_end: behind(prefix) }),
    );
    const keys = kvs.map(({ key, value, mod_revision, lease }) => ({
      ...{ key, value, lease },
      revision: mod_revision,
    }));
    return { kvs: keys, revision: header.revision };
  }

  /** Whether all comparisons held, and everything was put. */
  async put(compare: readonly Comparison[], puts: readonly Put[]): Promise<boolean> {
    const answer = await this.#ask('/v3/kv/txn', {
      compare: compare.map(({ key, revision }) => ({
        key: encode(key),
        result: 'EQUAL',
        target: 'MOD',
        mod_revision: String(revision),
      })),
      success: puts.map(({ key, value, lease = '0' }) => ({
        requestPut: { key: encode(key), value: encode(value), lease },
      })),
    });
    return txnAnswer.parse(answer).succeeded;
  }

  async grant(seconds: number): Promise<{ lease: string; seconds: number }> {
    const { ID: lease, TTL } = grantAnswer.parse(
      await this.#ask('/v3/lease/grant', { TTL: String(seconds) }),
    );
    return { lease, seconds: TTL };
  }

  /** Seconds from when it was asked; 0: the lease is gone. And the revision of everything in etcd by then. */
  async keepAlive(lease: string): Promise<{ readonly seconds: number; readonly revision: number }> {
    const { result } = keepAliveAnswer.parse(await this.#ask('/v3/lease/keepalive', { ID: lease }));
    return { seconds: result.TTL, revision: result.header?.revision ?? 0 };
  }

  async revoke(lease: string): Promise<void> {
    await this.#ask('/v3/lease/revoke', { ID: lease });
  }

  /**
   * Calls back when something with the prefix changes, until the watch ends: then `ended`, once. Returns how to end it; `ended` is not
   * called then.
   */
  watch(prefix: string, changed: () => void, ended: () => void): () => void {
    const stop = new AbortController();
    const endpoint = this.#endpoints[0]!;
    const over = (): void => {
      if (stop.signal.aborted) return;
      stop.abort();
      this.#failed(endpoint);
      ended();
    };
    const body = {
      create_request: { key: encode(prefix), range_end: behind(prefix), progress_notify: true },
    };
    let rest = '';
    const request = this.#request(endpoint, '/v3/watch', stop.signal);
    // Nothing is sent on it: only by that it ends when the machine at the other end is gone.
    request.setSocketKeepAlive(true, this.#timeoutMs);
    request.on('response', (response) => {
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop()!;
        if (rest.length > MAX_ANSWER_BYTES) over();
        for (const line of lines) {
          const { success, data } = watchAnswer.safeParse(parse(line));
          if (!success || data.result.canceled) over();
          else if (data.result.created || data.result.events.length > 0) changed();
        }
      });
      response.on('close', over);
      response.on('error', over);
    });
    request.on('error', over);
    request.end(JSON.stringify(body));
    return () => stop.abort();
  }

  /** Others may have found that too: it is the last then, and not the next. */
  #failed(endpoint: string): void {
    this.#endpoints = [...this.#endpoints.filter((one) => one !== endpoint), endpoint];
  }

  async #ask(path: string, body: object): Promise<unknown> {
    const failures: string[] = [];
    for (const endpoint of this.#endpoints) {
      try {
        return await this.#post(endpoint, path, body);
      } catch (error) {
        failures.push(`${endpoint}: ${(error as Error).message}`);
        this.#failed(endpoint);
      }
    }
    const on = this.#endpoints.join(', ');
    throw new IvshmemError('ERR_IVSHMEM_HOSTS_ETCD', { on, why: failures.join('; ') });
  }

  #post(endpoint: string, path: string, body: object): Promise<unknown> {
    const signal = AbortSignal.timeout(Math.ceil(this.#timeoutMs));
    return new Promise((resolve, reject) => {
      const request = this.#request(endpoint, path, signal);
      const fail = (error: Error): void =>
        reject(signal.aborted ? new Error(`no answer within ${this.#timeoutMs} ms`) : error);
      request.on('error', fail);
      request.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('error', fail);
        response.on('data', (chunk: string) => {
          text += chunk;
          if (text.length > MAX_ANSWER_BYTES) request.destroy(new Error('the answer is too long'));
        });
        response.on('end', () => {
          const answer = parse(text);
          if (response.statusCode === 200 && answer !== null) resolve(answer);
          else reject(new Error(`status ${response.statusCode}: ${text.slice(0, 200)}`));
        });
      });
      request.end(JSON.stringify(body));
    });
  }

  #request(endpoint: string, path: string, signal: AbortSignal) {
    const url = new URL(path, endpoint);
    const options = { method: 'POST', signal, agent: false } as const;
    if (url.protocol === 'http:') return plain(url, options);
    const { certificate, key, authority } = this.#identity ?? {};
    return secure(url, { ...options, cert: certificate, key, ca: authority });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Whoever checks the answer says that it is none.
    return null;
  }
}

/** For operators. */
export function troubleOf(error: unknown): string {
  return isIvshmemError(error, 'ERR_IVSHMEM_HOSTS_ETCD') ? error.message : String(error);
}
