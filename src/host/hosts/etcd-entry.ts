import type { Log } from '../log.ts';
import { type Seat, sits } from './directory.ts';
import type { EtcdClient } from './etcd-client.ts';
import type { Seen } from './etcd-reading.ts';

export interface EtcdOptions {
  readonly client: EtcdClient;
  /** Of all keys, with a slash at its end; the same on all hosts. */
  readonly prefix: string;
  readonly name: string;
  readonly address: string;
  readonly leaseMs: number;
  readonly fenceMs: number;
  /** To a node whose certificate was seen; false: not connected. */
  readonly tell: (node: number, text: string) => boolean;
  readonly log: Log;
}

type Self = Pick<EtcdOptions, 'client' | 'prefix' | 'name' | 'address'>;

/** As another incarnation, which is returned; null: somebody else was faster. What is there of an earlier life is fenced, or this would not be. */
export async function enter(
  { client, prefix, name, address }: Self,
  node: number,
  seen: Seen,
  lease: string,
): Promise<number | null> {
  const self = seen.known.get(node);
  if (self === undefined) throw new Error(`etcd has lost what it knew of the host ${name}`);
  const incarnation = self.incarnation + 1;
  const nodes = `${prefix}nodes/${node}`;
  const entered = await client.put(
    [{ key: nodes, revision: self.revision }],
    [
      { key: nodes, value: JSON.stringify({ name, incarnation }) },
      { key: `${prefix}hosts/${node}`, value: JSON.stringify({ name, address, incarnation }), lease },
    ],
  );
  return entered ? incarnation : null;
}

/** As the same: nobody has left it out until now, and from now on its key is there again. False: it was left out. */
export async function enterAgain(
  { client, prefix, name, address }: Self,
  { node, incarnation }: Seat,
  { decided, revision }: Seen,
  lease: string,
): Promise<boolean> {
  if (!sits(decided.view, node, incarnation)) return false;
  const value = JSON.stringify({ name, address, incarnation });
  return client.put(
    [{ key: `${prefix}decided`, revision }],
    [{ key: `${prefix}hosts/${node}`, value, lease }],
  );
}
